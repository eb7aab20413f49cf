package dispatch

// trimOneIn is how many item rows are written until the user of one is trimmed:
// who has many comes up often.
const trimOneIn = 256

// trim drops what some of the users at hand have too much of, after the rows
// are written. A store that fails is reported; others of their rows come.
func (s *shard) trim() {
	for i := range s.rows.Items {
		if s.untrimmed++; s.untrimmed < trimOneIn {
			continue
		}
		s.untrimmed = 0
		n, err := s.d.deps.Store.TrimUser(s.rows.Items[i].User, s.d.cfg.MaxItems)
		if err != nil {
			s.d.storeFault("trim", err)
		}
		s.d.metrics.trimmed.Add(n)
	}
}
