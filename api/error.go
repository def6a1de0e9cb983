package api

import (
	"errors"
	"fmt"
	"net/http"
)

// Error is a refusal or failure with the HTTP status by which its kind is told: 400 malformed, 403 not permitted, 404
// absent, 429 too much, 500 failed, 503 not now. The same value travels from the state to the user.
type Error struct {
	Status  int
	Message string
}

// Error returns the message alone: the status is told apart where it matters.
func (e *Error) Error() string { return e.Message }

// Errorf makes an *Error. It is for messages at the origin; to add context to an error that has a status already, wrap
// it with fmt.Errorf and %w, and StatusOf still finds it.
func Errorf(status int, format string, args ...any) error {
	return &Error{Status: status, Message: fmt.Sprintf(format, args...)}
}

// StatusOf returns the status that an error carries, also when wrapped, 500 when it carries none, and 200 for nil.
func StatusOf(err error) int {
	if err == nil {
		return http.StatusOK
	}
	var e *Error
	if errors.As(err, &e) && e.Status != 0 {
		return e.Status
	}
	return http.StatusInternalServerError
}
