// Package feature holds tests only: see main_test.go.
package feature
