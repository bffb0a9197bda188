package native

import "strconv"

// Spread puts between each part of a query's SQL and the next as many parameters as
// a slice has elements, or NULL if it has none.
func Spread(parts []string, widths ...int) string {
	if len(parts) == 0 {
		return ""
	}
	text := []byte(parts[0])
	for i, width := range widths {
		for n := range width {
			if n > 0 {
				text = append(text, ',')
			}
			text = append(text, '?')
		}
		if width == 0 {
			text = append(text, "NULL"...)
		}
		text = append(text, parts[i+1]...)
	}
	return string(text)
}

// Numbered puts a parameter between each part of a query's SQL and the next: as many
// numbers as the argument that it stands for has values, or NULL if it has none. sqlc
// numbers parameters as if each slice had one element.
func Numbered(parts []string, params []int, widths ...int) string {
	if len(parts) == 0 {
		return ""
	}
	text := []byte(parts[0])
	for i, param := range params {
		first := 1
		for _, width := range widths[:param] {
			first += width
		}
		for n := range widths[param] {
			if n > 0 {
				text = append(text, ',')
			}
			text = strconv.AppendInt(append(text, '?'), int64(first+n), 10)
		}
		if widths[param] == 0 {
			text = append(text, "NULL"...)
		}
		text = append(text, parts[i+1]...)
	}
	return string(text)
}
