// Package defendersim is a simulated Microsoft Defender tenant: an
// [http.Handler] that answers as Microsoft Graph, as the older
// api.security.microsoft.com and as the token endpoint do, with their caps,
// filters, paging, limits and error bodies, over a deterministic [World] that
// lives; and that evaluates hunting queries over tables of its own. Faults can be switched on while it runs. It serves the demo and the
// tests, and knows nothing of the code that it is a test for.
package defendersim
