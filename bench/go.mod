module github.com/parleymesh/parley/bench

go 1.26.8
