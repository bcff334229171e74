package dict

import (
	"fmt"
	"strings"
)

// Lines is the report for people: position, tag and name, value, meaning.
func (r Report) Lines() []string {
	unit := "bytes"
	if r.Length == 1 {
		unit = "byte"
	}
	lines := []string{fmt.Sprintf("%s, %d %s", r.Kind, r.Length, unit)}
	return appendLines(lines, r.Items, 0)
}

func appendLines(lines []string, items []Item, depth int) []string {
	for _, item := range items {
		lines = append(lines, fmt.Sprintf("%4d  %s%s", item.At, strings.Repeat("  ", depth), item.line()))
		lines = appendLines(lines, item.Items, depth+1)
	}
	return lines
}

func (i Item) line() string {
	head := strings.TrimSpace(i.Tag + " " + i.Name)
	if strings.HasPrefix(i.Tag, "B") && strings.Contains(i.Tag, "b") { // a bit has no length or value
		return head
	}
	var after []string
	for _, s := range []string{i.Value, i.Words} {
		if s != "" {
			after = append(after, s)
		}
	}
	if i.Masked {
		after = append(after, "masked")
	}
	head += fmt.Sprintf(" [%d]", i.Length)
	if len(after) == 0 {
		return head
	}
	return head + " " + strings.Join(after, ", ")
}
