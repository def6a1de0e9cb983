// Package clients holds tests only: see main_test.go.
package clients
