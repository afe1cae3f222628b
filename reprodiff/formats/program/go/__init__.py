"""What a Go program says of itself: its table of functions, the record of its module, what `go build` wrote."""
