package kql

func (q *Query) escapes(own map[string]int) []string { return nil }
