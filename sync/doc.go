// Package sync decides what to fetch next and when it is durable.
//
// Every source here is records with a time behind a call that returns at most
// a cap and says little about what it left out. So there is one unit of work,
// a half-open window of time, and one question about each answer: does it hold
// the window whole? A whole answer is committed together with the coverage and
// the checkpoint that vouch for it; a full one is committed up to its last
// record when the source orders its answers, and thrown away for a narrower
// window when it does not. A window of one microsecond can't be narrowed and is
// paged instead. Nothing else moves a checkpoint.
//
// A pass is a sequence of such phases, each atomic. A killed pass goes on at
// its resume point, which is the first phase of the ordinary loop.
package sync
