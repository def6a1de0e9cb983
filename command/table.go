package command

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"
)

// columns prints rows with their cells beneath one another and a gap between columns. The last cell of a row is not padded.
func columns(w io.Writer, gap int, rows [][]string) {
	var widths []int
	for _, row := range rows {
		for i, cell := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	for _, row := range rows {
		var line strings.Builder
		for i, cell := range row {
			line.WriteString(cell)
			if i < len(row)-1 {
				line.WriteString(strings.Repeat(" ", widths[i]+gap-utf8.RuneCountInString(cell)))
			}
		}
		fmt.Fprintln(w, line.String())
	}
}

// showLines prints each on a line of its own.
func showLines(w io.Writer, all []string) {
	for _, line := range all {
		fmt.Fprintln(w, line)
	}
}

// table prints rows beneath a heading.
func table(w io.Writer, heading []string, rows [][]string) {
	columns(w, 2, append([][]string{heading}, rows...))
}

// pairs shows a map on one line.
func pairs(m map[string]string, between string) string {
	parts := make([]string, 0, len(m))
	for _, key := range slices.Sorted(maps.Keys(m)) {
		parts = append(parts, key+"="+m[key])
	}
	return strings.Join(parts, between)
}
