package dashboard

// Patterns are those of all pages and actions.
func Patterns() (all []string) {
	for _, p := range (&Dashboard{}).pages() {
		all = append(all, p.pattern)
	}
	return all
}
