package snapshot

// policy sets who may call web.
func (w *world) policy(allow bool, rules ...Rule) {
	w.s.set(policyQuery("web"), &Policy{DefaultAllow: allow, Rules: rules})
}
