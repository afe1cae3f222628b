"""Go programs: their table of functions, the record of their module, their read-only data and what `go build` wrote."""
