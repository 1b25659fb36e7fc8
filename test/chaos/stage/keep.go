package stage

// Keep keeps something that a fault's Prepare has started, for its Inject: several
// runs of one fault play side by side, so the fault itself can keep nothing.
func (s *Stage) Keep(name string, what any) { s.kept.Store(name, what) }

// Kept returns what was kept under name, or nil.
func (s *Stage) Kept(name string) any {
	what, _ := s.kept.Load(name)
	return what
}
