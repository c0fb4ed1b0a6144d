package defender

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http/httptrace"
	"sync/atomic"
)

// errSent ends a request that net/http was about to send a second time.
var errSent = errors.New("the connection broke before an answer came")

// once keeps the transport from sending a request again by itself, as net/http
// does with a GET where a connection that was used before breaks: the service
// may have counted the first one, and the second would be within no limit and
// on no record. What was not sent at all may be tried on another connection.
func once(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	var sent atomic.Bool
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		WroteRequest: func(httptrace.WroteRequestInfo) { sent.Store(true) },
		GetConn: func(string) {
			if sent.Load() {
				cancel(errSent)
			}
		},
		// The transport may not notice before it has written.
		GotConn: func(info httptrace.GotConnInfo) {
			if errors.Is(context.Cause(ctx), errSent) && !shared(info.Conn) {
				info.Conn.Close()
			}
		},
	})
	return ctx, func() { cancel(nil) }
}

// shared says whether other requests are on the connection, too. HTTP/2, which
// is, sends only that again which the server says it has not looked at.
func shared(c net.Conn) bool {
	secure, ok := c.(*tls.Conn)
	return ok && secure.ConnectionState().NegotiatedProtocol == "h2"
}
