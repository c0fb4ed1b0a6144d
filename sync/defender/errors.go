package defender

import (
	"fmt"
	"strings"
	"time"
)

// TokenError is a refusal of the token endpoint.
type TokenError struct {
	Code   int    // the number after AADSTS; 0 when the answer held none
	Advice string // what is wrong and what to change, as a sentence; or the service's own
	Fix    string // the part of Advice that says what to change; "" where it is the service's
	Status int    // HTTP status
}

func (e *TokenError) Error() string {
	if e.Code == 0 {
		return fmt.Sprintf("token endpoint answered %d: %s", e.Status, e.Advice)
	}
	return fmt.Sprintf("AADSTS%d: %s", e.Code, e.Advice)
}

// PermissionError is a 403: the token is good, the app lacks a role.
type PermissionError struct {
	Call string   // such as "list incidents"
	Need []string // any one of these application permissions would do
	Have []string // the roles in the token that was refused
}

func (e *PermissionError) Error() string {
	have := "none"
	if len(e.Have) > 0 {
		have = strings.Join(e.Have, ", ")
	}
	return fmt.Sprintf("%s: permission denied: grant the application permission %s and admin consent, then wait for a new token (roles present: %s)",
		e.Call, strings.Join(e.Need, " or "), have)
}

// ThrottledError is a 429 that outlasted the retries, or a wait longer than a
// pass is allowed to sit out.
type ThrottledError struct {
	RetryAfter time.Duration
	Message    string
	CPU        bool // the tenant's processing resources are used up, not a number of calls
}

func (e *ThrottledError) Error() string {
	s := fmt.Sprintf("throttled by the service: try again in %s", e.RetryAfter.Round(time.Second))
	if e.Message != "" {
		s += ": " + e.Message
	}
	return s
}

// TimeoutError is a call that was sent and whose answer did not come, or did
// not end, in time, after the retries. Asking for less may help.
type TimeoutError struct{ After time.Duration }

func (e *TimeoutError) Error() string { return fmt.Sprintf("no answer within %s", e.After) }

// LinkError is a next link that is not followed. Nothing was sent: the same
// records can be had by their window.
type LinkError struct{ Reason string }

func (e *LinkError) Error() string { return "next link " + e.Reason }

// TooLargeError is a body over the bound: ask for less.
type TooLargeError struct{ Limit int64 }

func (e *TooLargeError) Error() string {
	return fmt.Sprintf("answer is larger than %d bytes", e.Limit)
}

// OversizeError is a hunting query that was too much for one answer. The same
// query will fail again, and each failure costs minutes of the quota: ask for
// less.
type OversizeError struct {
	Reason  string
	Timeout bool // time ran out, the service's or our own
}

func (e *OversizeError) Error() string { return "too much for one answer: " + e.Reason }

// QueryError is a 400 that is about the text of a hunting query.
type QueryError struct {
	Message    string // the service's own, bounded
	Unresolved string // the table or column that the tenant does not have; may be empty
}

func (e *QueryError) Error() string { return "query rejected: " + e.Message }

// DecodeError is a 200 whose body is not the JSON that was promised, after
// the retries.
type DecodeError struct {
	Reason string
	Body   []byte // the beginning of the body, bounded, for the quarantine
}

func (e *DecodeError) Error() string { return "answer could not be decoded: " + e.Reason }

// StatusError is any other answer that is not a success, after the retries.
type StatusError struct {
	Status    int
	Code      string // the service's own code; may be empty
	Message   string // the service's own message, bounded
	RequestID string
}

func (e *StatusError) Error() string {
	s := fmt.Sprintf("service answered %d", e.Status)
	if e.Code != "" {
		s += " " + e.Code
	}
	if e.Message != "" {
		s += ": " + e.Message
	}
	if e.RequestID != "" {
		s += " (request-id " + e.RequestID + ")"
	}
	return s
}
