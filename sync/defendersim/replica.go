package defendersim

// Replicate copies the world for the answers of [FaultStale], which show it as
// it is now until the next Replicate.
func (s *Sim) Replicate() {
	replica := s.world.replica()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.replica = replica
}

// behind is the source of a machine that lags behind; present where there is none.
func (s *Sim) behind(present source) source {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.replica == nil {
		return present
	}
	return s.replica
}

// replica is a copy that does not change. Changes of a world replace the texts
// and slices that records hold, or append to them; so a copy can share them.
func (w *World) replica() *World {
	w.mu.RLock()
	defer w.mu.RUnlock()
	c := &World{opt: w.opt, estate: w.estate, frozen: true,
		incidents: make(map[int64]*incident, len(w.incidents)), alerts: make(map[string]*alert, len(w.alerts))}
	for _, in := range w.order {
		twin := *in
		twin.alerts = nil
		for _, a := range in.alerts {
			other := *a
			other.incident = &twin
			twin.alerts = append(twin.alerts, &other)
			c.alerts[a.ID] = &other
			c.all = append(c.all, &other)
		}
		c.incidents[in.ID] = &twin
		c.order = append(c.order, &twin)
	}
	c.incidentIndex.load(c.order)
	c.alertIndex.load(c.all)
	return c
}
