package storetest

import "testing"

func TestWithDatabase(t *testing.T) {
	for in, want := range map[string]string{
		"postgres://u@/old?host=%2Ftmp%2Fs&port=5432": "postgres://u@/new?host=%2Ftmp%2Fs&port=5432",
		"postgresql://u:p@db:5433":                    "postgresql://u:p@db:5433/new",
		"host=db dbname=old":                          "host=db dbname=old dbname=new",
	} {
		if got := withDatabase(in, "new"); got != want {
			t.Errorf("withDatabase(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestNameFitsAndIsUnique(t *testing.T) {
	c := &cluster{id: -1}
	long := "TestSomething/With A very_LONG=name/that goes on and on and on for ever"
	a, b := c.name(long), c.name(long)
	if a == b || len(a) > 63 || a[:28] != "defendersync_test_ffffffff_1" {
		t.Errorf("names %q, %q", a, b)
	}
}
