package dashboard

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"net/http"
	"path"
	"time"
)

//go:embed static templates
var files embed.FS

// assets are the style and the scripts. Their addresses hold a hash of what is in
// them, so a browser keeps them for good and a new version is another address.
type assets struct {
	content map[string][]byte // by name
	hash    map[string]string
}

func loadAssets() (*assets, error) {
	a := &assets{content: map[string][]byte{}, hash: map[string]string{}}
	entries, err := fs.ReadDir(files, "static")
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if contentType(e.Name()) == "" {
			continue // a licence
		}
		text, err := files.ReadFile("static/" + e.Name())
		if err != nil {
			return nil, err
		}
		sum := sha256.Sum256(text)
		a.content[e.Name()], a.hash[e.Name()] = text, hex.EncodeToString(sum[:6])
	}
	return a, nil
}

// address is where a file is found; "" when there is none, which a test looks for.
func (a *assets) address(name string) string {
	if a.hash[name] == "" {
		return ""
	}
	return "/ui/static/" + a.hash[name] + "/" + name
}

func (a *assets) serve(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name")
	text, ok := a.content[name]
	if !ok || a.hash[name] != r.PathValue("hash") {
		http.Error(w, "there is no such file", http.StatusNotFound)
		return
	}
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	w.Header().Set("Content-Type", contentType(name))
	http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(text))
}

// contentType returns "" for what is not served. It does not ask the machine's table,
// which may say anything.
func contentType(name string) string {
	switch path.Ext(name) {
	case ".css":
		return "text/css; charset=utf-8"
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	}
	return ""
}
