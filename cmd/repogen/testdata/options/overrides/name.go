package overrides

// Name is what an override says that imports nothing.
type Name string
