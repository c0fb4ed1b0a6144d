package defender

import (
	"context"
	"net/url"
)

// Credential proves the app to the token endpoint. Form is called anew for
// every token, so that a secret rotated in its file or variable works without
// a restart. Its values never appear in an error or a log.
type Credential interface {
	// Form returns the fields that a token request adds to grant_type,
	// client_id and scope or resource: client_secret, or client_assertion and
	// its type. tokenURL is the endpoint's own address, the audience of an assertion.
	Form(ctx context.Context, tokenURL string) (url.Values, error)
}

// Secret is a client secret, read by the function each time it is needed.
type Secret func() (string, error)

// Form implements Credential.
func (s Secret) Form(context.Context, string) (url.Values, error) {
	v, err := s()
	if err != nil {
		return nil, err
	}
	return url.Values{"client_secret": {v}}, nil
}
