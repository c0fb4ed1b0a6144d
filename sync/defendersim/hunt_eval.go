package defendersim

import (
	"time"
)

type timespan int64

type huntCol struct {
	HuntColumn
	at int // index of the value in a row
}

// huntRel is a table while it is worked on.
type huntRel struct {
	cols []huntCol
	rows [][]any
}

type huntEnv struct {
	tables       *HuntTables
	now          time.Time
	reach        span
	rejectShadow bool
	scanned      int // rows looked at
}

func (env *huntEnv) run(text string) (*huntRel, error) { return &huntRel{}, nil }

// at is a value of a row, which may be too short to have it.
func at(row []any, i int) any {
	if i < len(row) {
		return row[i]
	}
	return nil
}
