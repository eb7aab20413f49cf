package httpapi

// Match finds a route as the server does, for tests of what that costs.
func (rt *Router) Match(method, path []byte) bool {
	var vals params
	l := rt.match(path, &vals)
	return l != nil && l.method(method) != nil
}
