package httpapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"unicode/utf8"
)

// How much of a request comes back in an answer that refuses it.
const (
	maxFaults  = 100
	maxPointer = 512 // bytes
	maxField   = 100 // bytes
)

// document is a request body that is valid JSON, read once from front to end. It
// finds what encoding/json lets through and Postgres' jsonb refuses, silently
// drops or blows up: repeated names, \u0000, lone surrogates, numbers that do not
// fit numeric; and it adds up how long jsonb would print what was read, because
// that is what the limits on a job are about.
type document struct {
	data    []byte
	at      int
	path    []string // names and places of the values being read
	base    int      // how many of them lead to the object whose fields are being read
	printed int      // bytes jsonb would print for everything read so far
	faults  []fault
	more    bool // there were more faults than are kept
}

// newDocument returns the document in data, or a problem with the whole of it.
func newDocument(data []byte) (*document, *problem) {
	switch {
	case len(data) == 0:
		return nil, newProblem(http.StatusBadRequest, codeMissingBody, "the request has no body")
	case !utf8.Valid(data):
		return nil, newProblem(http.StatusBadRequest, codeInvalidJSON, "the body is not valid UTF-8")
	}
	var raw json.RawMessage
	if err := json.Unmarshal(data, &raw); err != nil {
		p := newProblem(http.StatusBadRequest, codeInvalidJSON, "the body is not valid JSON")
		var syntax *json.SyntaxError
		if errors.As(err, &syntax) {
			p.Detail = fmt.Sprintf("the body is not valid JSON: %s, at byte %d", syntax.Error(), syntax.Offset)
		}
		return nil, p
	}
	return &document{data: data}, nil
}

// fault notes that something is wrong with the value being read. The detail goes
// on after its name: "must be …".
func (d *document) fault(code, format string, args ...any) {
	if len(d.faults) == maxFaults {
		d.more = true
		return
	}
	var b strings.Builder
	for _, name := range d.path {
		b.WriteByte('/')
		b.WriteString(strings.NewReplacer("~", "~0", "/", "~1").Replace(name))
		if b.Len() > maxPointer {
			break // the beginning tells where to look
		}
	}
	field, subject := "", "the job"
	switch {
	case len(d.path) > d.base:
		field = cut(d.path[d.base], maxField)
		subject = field
	case d.base == 0:
		subject = "the body"
	}
	detail := subject + " " + fmt.Sprintf(format, args...)
	d.faults = append(d.faults, fault{Pointer: cut(b.String(), maxPointer), Field: field, Code: code, Detail: detail})
}

// faultOf notes that something is wrong with the field of that name.
func (d *document) faultOf(name, code, format string, args ...any) {
	d.path = append(d.path, name)
	d.fault(code, format, args...)
	d.path = d.path[:len(d.path)-1]
}

// problem returns the problem that the faults make up, nil when there is none.
func (d *document) problem(code string) error {
	if len(d.faults) == 0 {
		return nil
	}
	return invalidBody(code, d.faults, d.more)
}

// cut keeps a client's own words in an answer short.
func cut(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "")
}

// next steps over white space and returns the byte that follows, 0 at the end.
func (d *document) next() byte {
	for ; d.at < len(d.data); d.at++ {
		switch c := d.data[d.at]; c {
		case ' ', '\t', '\r', '\n':
		default:
			return c
		}
	}
	return 0
}

// raw reads the value that follows, with everything in it, and returns its text.
func (d *document) raw() []byte {
	d.next()
	start := d.at
	d.value(1)
	return d.data[start:d.at]
}

// value reads the value that follows; depth counts the levels from 1.
func (d *document) value(depth int) {
	switch d.next() {
	case '{', '[':
		if depth == MaxDepth+1 {
			d.fault(faultDepth, "nests deeper than %d levels", MaxDepth)
		}
		if d.data[d.at] == '{' {
			d.object(func(string) { d.value(depth + 1) })
		} else {
			d.array(func(int) { d.value(depth + 1) })
		}
	case '"':
		d.text()
	case 't', 'n':
		d.at, d.printed = d.at+4, d.printed+4
	case 'f':
		d.at, d.printed = d.at+5, d.printed+5
	default:
		d.number()
	}
}

// object reads an object; each is called with a member's name and reads its value.
func (d *document) object(each func(name string)) {
	d.at, d.printed = d.at+1, d.printed+2
	seen := map[string]bool{}
	for d.next() != '}' {
		if d.data[d.at] == ',' {
			d.at++
			d.next()
		}
		if len(seen) > 0 {
			d.printed += 2 // ", "
		}
		d.path = append(d.path, "")
		name := d.text()
		d.path[len(d.path)-1] = name
		if seen[name] {
			d.fault(faultDuplicate, "is there twice; Postgres would drop the first: %q", cut(name, maxField))
		}
		seen[name] = true
		d.next()
		d.at, d.printed = d.at+1, d.printed+2 // ": "
		each(name)
		d.path = d.path[:len(d.path)-1]
	}
	d.at++
}

// array reads an array; each is called with a place and reads the value there.
func (d *document) array(each func(i int)) {
	d.at, d.printed = d.at+1, d.printed+2
	for i := 0; d.next() != ']'; i++ {
		if i > 0 {
			d.at, d.printed = d.at+1, d.printed+2
		}
		d.path = append(d.path, strconv.Itoa(i))
		each(i)
		d.path = d.path[:len(d.path)-1]
	}
	d.at++
}

// text reads a string and returns it without its escapes.
func (d *document) text() string {
	d.at, d.printed = d.at+1, d.printed+2
	start, escaped := d.at, false
	for d.data[d.at] != '"' {
		if d.data[d.at] != '\\' {
			d.at, d.printed = d.at+1, d.printed+1
			continue
		}
		escaped = true
		d.escape()
	}
	d.at++
	if !escaped {
		return string(d.data[start : d.at-1])
	}
	var s string
	if json.Unmarshal(d.data[start-1:d.at], &s) != nil {
		return string(d.data[start : d.at-1]) // cannot be: the document is valid
	}
	return s
}

// escape reads one escape, or two that make up a surrogate pair.
func (d *document) escape() {
	c := d.data[d.at+1]
	d.at += 2
	switch c {
	case '/':
		d.printed++
	case 'u':
		r := d.hex()
		switch {
		case r == 0:
			d.fault(faultNUL, `has the character \u0000, which Postgres cannot store`)
		case r >= 0xDC00 && r <= 0xDFFF:
			d.fault(faultSurrogate, "has half of a surrogate pair, which is not a character")
		case r >= 0xD800 && r <= 0xDBFF:
			if d.data[d.at] == '\\' && d.data[d.at+1] == 'u' {
				d.at += 2
				if low := d.hex(); low >= 0xDC00 && low <= 0xDFFF {
					d.printed += 4
					return
				}
			}
			d.fault(faultSurrogate, "has half of a surrogate pair, which is not a character")
		case r == '"' || r == '\\' || r >= '\b' && r <= '\r' && r != '\v':
			d.printed += 2
		case r < 0x20:
			d.printed += 6
		default:
			d.printed += utf8.RuneLen(r)
		}
	default:
		d.printed += 2
	}
}

// hex reads four hexadecimal digits.
func (d *document) hex() rune {
	n, _ := strconv.ParseUint(string(d.data[d.at:d.at+4]), 16, 32) // four digits: the document is valid
	d.at += 4
	return rune(n)
}

// Postgres' numeric has at most 131,072 digits before and 16,383 behind the point,
// https://www.postgresql.org/docs/current/datatype-numeric.html, and prints all of
// them: 1e131071 is eight bytes here and 131,072 there.
const (
	maxWhole    = 131_072
	maxFraction = 16_383
)

// number reads a number.
func (d *document) number() {
	start := d.at
	for d.at < len(d.data) && strings.IndexByte("+-.0123456789eE", d.data[d.at]) >= 0 {
		d.at++
	}
	text := string(d.data[start:d.at])
	digits, exponent, _ := strings.Cut(strings.ReplaceAll(text, "E", "e"), "e")
	negative := strings.HasPrefix(digits, "-")
	whole, fraction, _ := strings.Cut(strings.TrimPrefix(digits, "-"), ".")
	shift := 0
	if exponent != "" {
		var err error
		if shift, err = strconv.Atoi(exponent); err != nil || shift > 1_000_000_000 || shift < -1_000_000_000 {
			d.fault(faultNumber, "has a number whose exponent Postgres' numeric cannot hold")
			return
		}
	}
	// Leading zeros do not count, and zero has no digits before the point at all.
	before := 0
	significant := strings.TrimLeft(whole+fraction, "0")
	if significant != "" {
		before = max(0, len(significant)-len(fraction)+shift)
	}
	behind := max(0, len(fraction)-shift)
	if before > maxWhole || behind > maxFraction {
		d.fault(faultNumber, "has a number with %d digits before and %d behind the point; Postgres' numeric holds %d and %d", before, behind, maxWhole, maxFraction)
		return
	}
	d.printed += max(1, before)
	if negative && significant != "" { // -0 loses its sign
		d.printed++
	}
	if behind > 0 {
		d.printed += 1 + behind
	}
}
