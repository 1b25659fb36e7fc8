package httpapi

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"
)

// The OpenAPI document is written by hand, a file per area, and merged when a server
// is made. A test compares it with the routes and with what they answer.
//
//go:embed openapi/*.json openapi/docs.html
var openapiFiles embed.FS

// areas returns the files that describe the routes this server has.
func (o Options) areas() []string {
	areas := []string{"base", "jobs"}
	if o.Spool != nil {
		areas = append(areas, "spool")
	}
	if o.Admin != nil {
		areas = append(areas, "admin")
	}
	if o.Endpoints != nil {
		areas = append(areas, "endpoints")
	}
	if o.Events != nil {
		areas = append(areas, "events")
	}
	if o.Pull != nil {
		areas = append(areas, "pull")
	}
	if o.Callbacks != nil {
		areas = append(areas, "callbacks")
	}
	if o.KeyAdmin != nil {
		areas = append(areas, "keys")
	}
	if o.Bulk != nil {
		areas = append(areas, "bulk")
	}
	if o.Workers != nil {
		areas = append(areas, "workers")
	}
	if o.Audit != nil {
		areas = append(areas, "audit")
	}
	return areas
}

// OpenAPI returns the document of a server that has every route, as JSON.
func OpenAPI() ([]byte, error) {
	files, err := openapiFiles.ReadDir("openapi")
	if err != nil {
		return nil, fmt.Errorf("describe the API: %w", err)
	}
	var areas []string
	for _, f := range files {
		if area, ok := strings.CutSuffix(f.Name(), ".json"); ok {
			areas = append(areas, area)
		}
	}
	return describe(areas)
}

// describe merges the files of areas into one document.
func describe(areas []string) ([]byte, error) {
	whole := map[string]any{}
	for _, area := range areas {
		text, err := openapiFiles.ReadFile("openapi/" + area + ".json")
		if err != nil {
			return nil, fmt.Errorf("describe the API: %w", err)
		}
		part := map[string]any{}
		if err := json.Unmarshal(text, &part); err != nil {
			return nil, fmt.Errorf("describe the API: %s: %w", area, err)
		}
		if err := merge(whole, part); err != nil {
			return nil, fmt.Errorf("describe the API: %s: %w", area, err)
		}
	}
	text, err := encode(whole)
	if err != nil {
		return nil, fmt.Errorf("describe the API: %w", err)
	}
	return text, nil
}

// page is HTML with the policy under which it is shown.
type page struct {
	html   []byte
	policy string
}

// describe makes the document, and the page that shows it.
func (s *Server) describe() error {
	text, err := describe(s.o.areas())
	if err != nil {
		return err
	}
	if s.docs, err = newDocs(text); err != nil {
		return fmt.Errorf("show the API: %w", err)
	}
	s.api = text
	return nil
}

// merge adds part to whole: objects name by name, lists one behind the other. Nothing
// else may stand in two parts.
func merge(whole, part map[string]any) error {
	for name, v := range part {
		old, both := whole[name]
		if !both {
			whole[name] = v
			continue
		}
		switch old := old.(type) {
		case map[string]any:
			v, ok := v.(map[string]any)
			if !ok {
				return fmt.Errorf("%s is an object in another part", name)
			}
			if err := merge(old, v); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		case []any:
			v, ok := v.([]any)
			if !ok {
				return fmt.Errorf("%s is a list in another part", name)
			}
			whole[name] = append(old, v...)
		default:
			return fmt.Errorf("%s stands in another part too", name)
		}
	}
	return nil
}

// docRoutes adds the document and its page, open to all: they say what the source does.
func (s *Server) docRoutes(e *echo.Echo) {
	for _, method := range []string{http.MethodGet, http.MethodHead} {
		e.Add(method, routeOpenAPI, func(c echo.Context) error {
			return c.Blob(http.StatusOK, echo.MIMEApplicationJSON, s.api)
		})
		e.Add(method, routeDocs, func(c echo.Context) error {
			c.Response().Header().Set(echo.HeaderContentSecurityPolicy, s.docs.policy)
			return c.Blob(http.StatusOK, echo.MIMETextHTMLCharsetUTF8, s.docs.html)
		})
	}
}

// reference is as much of an OpenAPI document as its page shows.
type reference struct {
	Info struct{ Title, Summary, Description string }
	Tags []struct{ Name, Description string }
	// Paths has an operation by path and method.
	Paths      map[string]map[string]operation
	Components struct{ Schemas map[string]schema }
}

type operation struct {
	OperationID string
	Tags        []string
	Summary     string
	Description string
	Parameters  []struct {
		Name, In, Description string
		Required              bool
		Schema                schema
	}
	RequestBody struct{ Content map[string]content }
	Responses   map[string]struct {
		Ref         string `json:"$ref"`
		Description string
		Content     map[string]content
	}
}

type content struct{ Schema schema }

type schema struct {
	Ref         string `json:"$ref"`
	Type        any
	Description string
	Enum        []string
	Items       *schema
	OneOf       []schema
	Properties  map[string]schema
	Required    []string
}

// Needs reports whether an object must have a property of that name.
func (s schema) Needs(name string) bool { return slices.Contains(s.Required, name) }

// Schema returns the name of the schema that s refers to, or "".
func (s schema) Schema() string { return s.Ref[strings.LastIndexByte(s.Ref, '/')+1:] }

// Word says in a word or two what s is.
func (s schema) Word() string {
	switch {
	case len(s.Enum) > 0:
		return strings.Join(s.Enum, " | ")
	case s.Type == "array" && s.Items != nil:
		if name := s.Items.Schema(); name != "" {
			return "list of " + name
		}
		return "list of " + s.Items.Word()
	}
	switch t := s.Type.(type) {
	case string:
		return t
	case []any:
		return strings.Join(strings.Fields(strings.Trim(fmt.Sprint(t), "[]")), " | ")
	}
	if len(s.OneOf) > 0 {
		return s.OneOf[0].Schema() + " | null"
	}
	return "any JSON"
}

// newDocs renders the page of a document. It has no script, and its one style sheet is
// let through by its hash.
func newDocs(text []byte) (page, error) {
	var r reference
	if err := json.Unmarshal(text, &r); err != nil {
		return page{}, err
	}
	t, err := template.ParseFS(openapiFiles, "openapi/docs.html")
	if err != nil {
		return page{}, err
	}
	var b bytes.Buffer
	if err := t.Execute(&b, r); err != nil {
		return page{}, err
	}
	_, rest, _ := bytes.Cut(b.Bytes(), []byte("<style>"))
	style, _, found := bytes.Cut(rest, []byte("</style>"))
	if !found {
		return page{}, errors.New("the page has no style sheet")
	}
	sum := sha256.Sum256(style)
	return page{
		html:   b.Bytes(),
		policy: "default-src 'none'; frame-ancestors 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'",
	}, nil
}
