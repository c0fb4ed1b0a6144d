// Package kql knows everything about the text of hunting queries, and sends
// none of them: the facts of the known tables, the texts that read and count a
// whole table, and what has to be known of a query of the user's own before it
// can be run window by window.
//
// A query is only lexed, never evaluated. That is enough, because the two
// questions asked of it have answers that err on the safe side: a table that is
// mentioned is windowed by a line before the text, which stays as it is; and
// what can't be proved to work row by row is asked of the person who wrote it.
package kql
