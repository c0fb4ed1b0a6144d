package defendersim

import "time"

// Overlay serves the given bytes in place of the record with this id, in
// every list that the record is in. The bytes need not be JSON. Nil takes the
// overlay away.
func (s *Sim) Overlay(id string, raw []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if raw == nil {
		delete(s.overlays, id)
		return
	}
	s.overlays[id] = raw
}

// Add serves one more record in a list: the given bytes, filtered and ordered
// as if it had been created and last updated at the given time. The bytes
// need not be JSON, nor hold that time, nor an id.
func (s *Sim) Add(e Endpoint, at time.Time, raw []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.extras[e] = append(s.extras[e], &document{raw: raw, at: at, since: at})
}

// Poison makes every answer that would hold this incident's alerts fail with
// 500 for ever: on Graph with $expand=alerts, on the older API always. With
// alertsToo, /incidents/{id}/alerts fails as well.
func (s *Sim) Poison(id string, alertsToo bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.poisoned[id] = alertsToo
}

// Heal takes the poison away again.
func (s *Sim) Heal(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.poisoned, id)
}

func (s *Sim) isPoison(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.poisoned[id]
	return ok
}

func (s *Sim) alertsArePoison(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.poisoned[id]
}

// withExtras puts the added records of a list among the others, by last update.
func (s *Sim) withExtras(e Endpoint, list []record) []record {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.extras[e]) == 0 {
		return list
	}
	x := index[record]{}
	x.load(append(list, s.extras[e]...))
	return x.list
}

// document is what a list shows of a record.
func (s *Sim) document(c *call, r record, st style) []byte {
	if d, ok := r.(*document); ok && d.key == "" {
		return d.raw
	}
	s.mu.Lock()
	raw, ok := s.overlays[r.id()]
	s.mu.Unlock()
	if ok {
		return raw
	}
	return c.source.render(r, st)
}
