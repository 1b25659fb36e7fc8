package httpapi

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"testing/iotest"
)

func TestReadPieces(t *testing.T) {
	t.Parallel()
	const piece = len(piece{})
	for _, size := range []int{0, 1, piece - 1, piece, piece + 1, 3*piece - 1, 3 * piece} {
		want := make([]byte, size)
		for i := range want {
			want[i] = byte(i * 7 / 5)
		}
		for name, wrap := range map[string]func(io.Reader) io.Reader{
			"whole": func(r io.Reader) io.Reader { return r }, "halves": iotest.HalfReader,
			"bytes": iotest.OneByteReader, "end with data": iotest.DataErrReader,
		} {
			got, err := readPieces(wrap(bytes.NewReader(want)))
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("%d bytes, %s: got %d bytes, %v; want them all", size, name, len(got), err)
			}
		}
		broken := io.MultiReader(bytes.NewReader(want), iotest.ErrReader(io.ErrUnexpectedEOF))
		if got, err := readPieces(broken); !errors.Is(err, io.ErrUnexpectedEOF) || got != nil {
			t.Errorf("%d bytes, then broken off: got %d bytes, %v; want the error alone", size, len(got), err)
		}
	}
}
