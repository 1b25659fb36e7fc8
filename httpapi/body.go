package httpapi

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/labstack/echo/v4"
)

// readBody returns the body of a JSON request of at most limit bytes.
func readBody(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	body, _, err := readBodyOf(w, r, limit, echo.MIMEApplicationJSON)
	return body, err
}

// readBodyOf returns the body of a request, and which of the media types it is of.
func readBodyOf(w http.ResponseWriter, r *http.Request, limit int64, kinds ...string) ([]byte, string, error) {
	kind, params, err := mime.ParseMediaType(r.Header.Get(echo.HeaderContentType))
	charset, given := params["charset"]
	if err != nil || !slices.Contains(kinds, kind) || given && !strings.EqualFold(charset, "utf-8") {
		return nil, "", newProblem(http.StatusUnsupportedMediaType, codeUnsupportedType, "the body must be sent as Content-Type: "+strings.Join(kinds, " or ")+", in UTF-8")
	}
	if r.Header.Get(echo.HeaderContentEncoding) != "" {
		return nil, "", newProblem(http.StatusUnsupportedMediaType, codeUnsupportedType, "the body must be sent without Content-Encoding")
	}
	if r.ContentLength > limit {
		return nil, "", bodyTooLarge(limit)
	}
	body, err := readPieces(http.MaxBytesReader(w, r.Body, limit))
	var tooLarge *http.MaxBytesError
	var timeout net.Error
	switch {
	case err == nil:
		return body, kind, nil
	case errors.As(err, &tooLarge):
		return nil, "", bodyTooLarge(limit)
	case errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return nil, "", newProblem(http.StatusRequestTimeout, codeRequestTimeout, "the body did not arrive in time")
	}
	p := newProblem(http.StatusBadRequest, codeMissingBody, "the body broke off")
	p.cause = err
	return nil, "", p
}

// piece is a part of a body while it is read. io.ReadAll grows its slice by a quarter at a
// time, and leaves the collector five times what a body has, refused ones included.
type piece [32 << 10]byte

var pieces = sync.Pool{New: func() any { return new(piece) }}

func newPiece() *piece {
	p, _ := pieces.Get().(*piece) // New makes no other
	return p
}

// readPieces returns all of r in a slice of its own, made when r has ended.
func readPieces(r io.Reader) ([]byte, error) {
	var full []*piece
	defer func() {
		for _, p := range full {
			pieces.Put(p)
		}
	}()
	last, n := newPiece(), 0
	full = append(full, last)
	for {
		got, err := r.Read(last[n:])
		n += got
		switch {
		case errors.Is(err, io.EOF):
			body := make([]byte, 0, (len(full)-1)*len(last)+n)
			for _, p := range full[:len(full)-1] {
				body = append(body, p[:]...)
			}
			return append(body, last[:n]...), nil
		case err != nil:
			return nil, err
		}
		if n == len(last) {
			last, n = newPiece(), 0
			full = append(full, last)
		}
	}
}

func bodyTooLarge(limit int64) *problem {
	return newProblem(http.StatusRequestEntityTooLarge, codeBodyTooLarge, fmt.Sprintf("the body must have at most %d bytes", limit))
}
