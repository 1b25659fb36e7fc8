package report

import (
	"math"
	"strconv"
	"strings"
)

// none stands for what was not measured.
const none = "–"

// number writes v with about three digits, and thousands apart: 30,800, 46.2, 0.85.
func number(v float64) string {
	switch size := math.Abs(v); {
	case math.IsInf(v, 0):
		return "∞"
	case size >= 99.95:
		return whole(v)
	case size >= 9.995:
		return strconv.FormatFloat(v, 'f', 1, 64)
	case size >= 0.00995 || size == 0:
		return strconv.FormatFloat(v, 'f', 2, 64)
	default:
		return strconv.FormatFloat(v, 'g', 2, 64)
	}
}

// whole writes v without decimals.
func whole(v float64) string {
	text := strconv.FormatFloat(math.Abs(v), 'f', 0, 64)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	if v < 0 && text != "0" {
		text = "-" + text
	}
	return text
}

// tick writes the number of a tick as short as it can be.
func tick(v float64) string {
	if math.Abs(v) >= 1000 {
		return whole(v)
	}
	return strconv.FormatFloat(v, 'g', 4, 64)
}

// trailing returns the number at the end of a case's name, such as that of
// backlog-10000; false when there is none.
func trailing(name, prefix string) (int64, bool) {
	digits, ok := strings.CutPrefix(name, prefix)
	n, err := strconv.ParseInt(digits, 10, 64)
	return n, ok && err == nil
}
