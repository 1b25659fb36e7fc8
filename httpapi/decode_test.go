package httpapi

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/penguinmails/rookery/job"
)

// nested returns depth arrays in one another.
func nested(depth int) string { return strings.Repeat("[", depth) + strings.Repeat("]", depth) }

// sized returns a JSON string that takes n bytes.
func sized(n int) string { return `"` + strings.Repeat("x", n-2) + `"` }

func TestPostJob_Refused(t *testing.T) {
	t.Parallel()
	const bad = "" // an invalid_job has no code of its own here
	tests := []struct {
		name, body string
		code       string // of the problem, when it is not invalid_job
		faults     []string
	}{
		{"empty", ``, codeMissingBody, nil},
		{"white space", ` `, codeInvalidJSON, nil},
		{"not JSON", `{"kind":}`, codeInvalidJSON, nil},
		{"cut off", `{"kind":"a"`, codeInvalidJSON, nil},
		{"trailing data", `{}{}`, codeInvalidJSON, nil},
		{"trailing comma", `{"kind":"a",}`, codeInvalidJSON, nil},
		{"byte order mark", "\ufeff{}", codeInvalidJSON, nil},
		{"invalid UTF-8", "{\"kind\":\"\xff\"}", codeInvalidJSON, nil},
		{"raw NUL in a string", "{\"kind\":\"\x00\"}", codeInvalidJSON, nil},
		{"raw NUL behind", "{}\x00", codeInvalidJSON, nil},
		{"NaN", `{"payload":NaN}`, codeInvalidJSON, nil},
		{"nesting beyond encoding/json", `{"payload":` + nested(10_001) + `}`, codeInvalidJSON, nil},

		{"array", `[]`, bad, []string{" wrong_type"}},
		{"null", `null`, bad, []string{" wrong_type"}},
		{"string", `"x"`, bad, []string{" wrong_type"}},
		{"number", `1`, bad, []string{" wrong_type"}},
		{"true", `true`, bad, []string{" wrong_type"}},
		{"unknown field", `{"queue":"a"}`, bad, []string{"/queue unknown_field"}},
		{"other case", `{"Kind":"a"}`, bad, []string{"/Kind unknown_field"}},
		{"empty name", `{"":1}`, bad, []string{"/ unknown_field"}},
		{"name to escape", `{"a/b~c":1}`, bad, []string{"/a~1b~0c unknown_field"}},
		{"status", `{"status":"completed"}`, bad, []string{"/status unknown_field"}},
		{"duplicate", `{"kind":"a","kind":"a"}`, bad, []string{"/kind duplicate_field"}},
		{"duplicate by escape", `{"kind":"a","\u006bind":"a"}`, bad, []string{"/kind duplicate_field"}},
		{"duplicate in the payload", `{"payload":{"a":[{"b":1,"b":2}]}}`, bad, []string{"/payload/a/0/b duplicate_field"}},
		{"several", `{"kind":1,"priority":-1,"x":0}`, bad, []string{"/kind wrong_type", "/priority out_of_range", "/x unknown_field"}},

		{"queue_name null", `{"queue_name":null}`, bad, []string{"/queue_name null_field"}},
		{"queue_name number", `{"queue_name":1}`, bad, []string{"/queue_name wrong_type"}},
		{"queue_name empty", `{"queue_name":""}`, bad, []string{"/queue_name invalid_name"}},
		{"queue_name brace", `{"queue_name":"a{b}"}`, bad, []string{"/queue_name invalid_name"}},
		{"queue_name 101", `{"queue_name":"` + strings.Repeat("q", 101) + `"}`, bad, []string{"/queue_name invalid_name"}},
		{"kind null", `{"kind":null}`, bad, []string{"/kind null_field"}},
		{"kind 201", `{"kind":"` + strings.Repeat("é", 201) + `"}`, bad, []string{"/kind too_long"}},
		{"kind NUL", `{"kind":"a\u0000"}`, bad, []string{"/kind nul_character"}},
		{"kind surrogate", `{"kind":"\ud800"}`, bad, []string{"/kind lone_surrogate"}},

		{"priority null", `{"priority":null}`, bad, []string{"/priority null_field"}},
		{"priority string", `{"priority":"1"}`, bad, []string{"/priority wrong_type"}},
		{"priority fraction", `{"priority":1.0}`, bad, []string{"/priority wrong_type"}},
		{"priority exponent", `{"priority":1e2}`, bad, []string{"/priority wrong_type"}},
		{"priority -1", `{"priority":-1}`, bad, []string{"/priority out_of_range"}},
		{"priority 1001", `{"priority":1001}`, bad, []string{"/priority out_of_range"}},
		{"priority beyond int64", `{"priority":99999999999999999999}`, bad, []string{"/priority out_of_range"}},
		{"max_attempts 0", `{"max_attempts":0}`, bad, []string{"/max_attempts out_of_range"}},
		{"max_attempts 1001", `{"max_attempts":1001}`, bad, []string{"/max_attempts out_of_range"}},
		{"max_attempts true", `{"max_attempts":true}`, bad, []string{"/max_attempts wrong_type"}},
		{"run_at null", `{"run_at":null}`, bad, []string{"/run_at null_field"}},
		{"run_at number", `{"run_at":1700000000}`, bad, []string{"/run_at wrong_type"}},
		{"run_at word", `{"run_at":"tomorrow"}`, bad, []string{"/run_at invalid_format"}},
		{"run_at infinity", `{"run_at":"infinity"}`, bad, []string{"/run_at invalid_format"}},
		{"run_at without zone", `{"run_at":"2026-12-01T09:00:00"}`, bad, []string{"/run_at invalid_format"}},
		{"run_at zero time", `{"run_at":"0001-01-01T00:00:00Z"}`, bad, []string{"/run_at out_of_range"}},
		{"run_at 1969 by zone", `{"run_at":"1970-01-01T00:00:00+14:00"}`, bad, []string{"/run_at out_of_range"}},
		{"run_at 9999", `{"run_at":"9999-01-01T00:00:00Z"}`, bad, []string{"/run_at out_of_range"}},
		{"run_at 9999 by zone", `{"run_at":"9998-12-31T23:59:59-00:01"}`, bad, []string{"/run_at out_of_range"}},

		{"headers null", `{"headers":null}`, bad, []string{"/headers null_field"}},
		{"headers array", `{"headers":[]}`, bad, []string{"/headers wrong_type"}},
		{"headers NUL", `{"headers":{"a":"\u0000"}}`, bad, []string{"/headers/a nul_character"}},
		{"headers 8193", `{"headers":{"a":` + sized(job.MaxHeaders+1-len(`{"a": }`)) + `}}`, bad, []string{"/headers too_large"}},
		{"payload 262145", `{"payload":` + sized(job.MaxPayload+1) + `}`, bad, []string{"/payload too_large"}},
		{"payload and headers 262145", `{"headers":{},"payload":` + sized(job.MaxPayload-1) + `}`, bad, []string{"/payload too_large"}},
		{"payload spaces of jsonb", `{"payload":[` + sized(job.MaxPayload-7) + `,1,1]}`, bad, []string{"/payload too_large"}},
		{"payload nesting 129", `{"payload":` + nested(129) + `}`, bad, []string{"/payload" + strings.Repeat("/0", 128) + " too_deep"}},
		{"payload NUL name", `{"payload":{"\u0000":1}}`, bad, []string{"/payload/ nul_character"}},
		{"payload NUL deep", `{"payload":[0,{"a":"\\\u0000"}]}`, bad, []string{"/payload/1/a nul_character"}},
		{"payload surrogates", `{"payload":["\ud83d\ude00","\ude00\ud83d","\ud83dx","\ud83d\u0041"]}`, bad,
			[]string{"/payload/1 lone_surrogate", "/payload/1 lone_surrogate", "/payload/2 lone_surrogate", "/payload/3 lone_surrogate"}},
		{"payload number", `{"payload":1e1000000}`, bad, []string{"/payload number_too_large"}},
		{"payload number with huge exponent", `{"payload":[0e99999999999999999999]}`, bad, []string{"/payload/0 number_too_large"}},
		{"payload number 131073 digits", `{"payload":1e131072}`, bad, []string{"/payload number_too_large"}},
		{"payload number 16384 places", `{"payload":1e-16384}`, bad, []string{"/payload number_too_large"}},
		{"payload numbers that print large", `{"payload":[1e131071,1e131071]}`, bad, []string{"/payload too_large"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			jobs := &fakeJobs{}
			w := post(newServer(t, jobs, Options{}), "/v1/jobs", tt.body)
			if len(jobs.specs) > 0 {
				t.Fatalf("a job was inserted: %+v", jobs.specs)
			}
			if tt.code != bad {
				wantProblem(t, w, http.StatusBadRequest, tt.code)
				return
			}
			p := wantProblem(t, w, http.StatusUnprocessableEntity, codeInvalidJob)
			if diff := cmp.Diff(tt.faults, pointers(p.Errors)); diff != "" {
				t.Errorf("faults (-want +got):\n%s", diff)
			}
			for _, f := range p.Errors {
				if f.Detail == "" || f.Field != "" && !strings.HasPrefix(f.Detail, f.Field+" ") {
					t.Errorf("fault %+v does not name its field", f)
				}
			}
		})
	}
}

func pointers(faults []fault) []string {
	var got []string
	for _, f := range faults {
		got = append(got, f.Pointer+" "+f.Code)
	}
	return got
}

func TestPostJob_AcceptedAtTheEdge(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]string{
		"nothing":                   `{}`,
		"queue_name 100":            `{"queue_name":"` + strings.Repeat("q", 100) + `"}`,
		"kind 200":                  `{"kind":"` + strings.Repeat("é", 200) + `"}`,
		"kind empty":                `{"kind":""}`,
		"priority 0":                `{"priority":0}`,
		"priority 1000":             `{"priority":1000}`,
		"max_attempts 1":            `{"max_attempts":1}`,
		"max_attempts 1000":         `{"max_attempts":1000}`,
		"run_at first":              `{"run_at":"1970-01-01T00:00:00Z"}`,
		"run_at last":               `{"run_at":"9998-12-31T23:59:59.999999Z"}`,
		"headers 8192":              `{"headers":{"a":` + sized(job.MaxHeaders-len(`{"a": }`)) + `}}`,
		"payload null":              `{"payload":null}`,
		"payload 262144":            `{"payload":` + sized(job.MaxPayload) + `}`,
		"payload and headers":       `{"headers":{},"payload":` + sized(job.MaxPayload-2) + `}`,
		"payload spaces of jsonb":   `{"payload":[` + sized(job.MaxPayload-8) + `,1,1]}`,
		"payload nesting 128":       `{"payload":` + nested(128) + `}`,
		"payload backslash u0000":   `{"payload":"\\u0000"}`,
		"payload number":            `{"payload":1e131071}`,
		"payload small number":      `{"payload":1e-16383}`,
		"payload zero, odd":         `{"payload":[-0,0e1000000,0.0e5]}`,
		"payload same name, deeper": `{"payload":{"a":{"a":[{"a":1},{"a":1}]}}}`,
		"white space everywhere":    strings.Repeat(" ", 300_000) + "{ \"payload\" :\t[ 1 ,\r\n2 ] }" + strings.Repeat("\n", 300_000),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			jobs := &fakeJobs{}
			if w := post(newServer(t, jobs, Options{}), "/v1/jobs", body); w.Code != http.StatusCreated {
				t.Errorf("answer = %d %s, want 201", w.Code, w.Body)
			}
		})
	}
}

func TestPostBatch_Refused(t *testing.T) {
	t.Parallel()
	many := func(n int) string { return `{"jobs":[` + strings.TrimSuffix(strings.Repeat(`{},`, n), ",") + `]}` }
	blown := strings.TrimSuffix(strings.Repeat(`{"payload":1e131071},`, 100), ",")
	for _, tt := range []struct {
		name, body string
		faults     []string
	}{
		{"array", `[{}]`, []string{" wrong_type"}},
		{"no jobs", `{}`, []string{"/jobs required"}},
		{"null", `{"jobs":null}`, []string{"/jobs wrong_type"}},
		{"object", `{"jobs":{}}`, []string{"/jobs wrong_type"}},
		{"0", many(0), []string{"/jobs out_of_range"}},
		{"1001", many(1001), []string{"/jobs out_of_range"}},
		{"unknown field", `{"jobs":[{}],"atomic":true}`, []string{"/atomic unknown_field"}},
		{"jobs twice", `{"jobs":[{}],"jobs":[{}]}`, []string{"/jobs duplicate_field"}},
		{"job of another type", `{"jobs":[{},null,[]]}`, []string{"/jobs/1 wrong_type", "/jobs/2 wrong_type"}},
		{"fields of jobs", `{"jobs":[{},{"priority":1001},{"payload":{"a":["\u0000"]}}]}`, []string{"/jobs/1/priority out_of_range", "/jobs/2/payload/a/0 nul_character"}},
		{"duplicate in a job", `{"jobs":[{"kind":"a","kind":"b"}]}`, []string{"/jobs/0/kind duplicate_field"}},
		{"numbers that print large", `{"jobs":[` + blown + `]}`, []string{"/jobs too_large"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			jobs := &fakeJobs{}
			p := wantProblem(t, post(newServer(t, jobs, Options{}), "/v1/jobs/batch", tt.body), http.StatusUnprocessableEntity, codeInvalidJob)
			if diff := cmp.Diff(tt.faults, pointers(p.Errors)); diff != "" {
				t.Errorf("faults (-want +got):\n%s", diff)
			}
			if len(jobs.specs) > 0 {
				t.Errorf("jobs were inserted: %+v", jobs.specs)
			}
		})
	}
	for _, n := range []int{1, 999, 1000} {
		jobs := &fakeJobs{}
		if w := post(newServer(t, jobs, Options{}), "/v1/jobs/batch", many(n)); w.Code != http.StatusCreated || len(jobs.specs) != n {
			t.Errorf("batch of %d = %d with %d jobs, want 201 with all", n, w.Code, len(jobs.specs))
		}
	}
}

func TestFaults_Bounded(t *testing.T) {
	t.Parallel()
	s := newServer(t, &fakeJobs{}, Options{})
	one := fmt.Sprintf(`{"%s":"\u0000"},`, strings.Repeat("n", 4_000))
	p := wantProblem(t, post(s, "/v1/jobs/batch", `{"jobs":[`+strings.TrimSuffix(strings.Repeat(one, 900), ",")+`]}`), http.StatusUnprocessableEntity, codeInvalidJob)
	if len(p.Errors) != maxFaults || !strings.HasPrefix(p.Detail, "more than 100") {
		t.Errorf("got %d faults, detail %.80q, want %d and more", len(p.Errors), p.Detail, maxFaults)
	}
	if f := p.Errors[0]; len(f.Pointer) > maxPointer || len(f.Field) > maxField {
		t.Errorf("pointer of %d and field of %d bytes, want at most %d and %d", len(f.Pointer), len(f.Field), maxPointer, maxField)
	}
}

func TestTraceparent(t *testing.T) {
	t.Parallel()
	const tp = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	for _, tt := range []struct{ name, header, body, want string }{
		{"none", "", `{}`, ``},
		{"alone", tp, `{}`, `{"traceparent":"` + tp + `"}`},
		{"empty headers", tp, `{"headers":{ }}`, `{"traceparent":"` + tp + `"}`},
		{"with others", tp, `{"headers": {"a": 1}}`, `{"traceparent":"` + tp + `","a":1}`},
		{"given", tp, `{"headers":{"traceparent":"x"}}`, `{"traceparent":"x"}`},
		{"given by escape", tp, `{"headers":{"trace\u0070arent":"x"}}`, `{"trace\u0070arent":"x"}`},
		{"upper case", strings.ToUpper(tp), `{}`, ``},
		{"zero trace", "00-00000000000000000000000000000000-00f067aa0ba902b7-01", `{}`, ``},
		{"zero span", "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01", `{}`, ``},
		{"injection", `00-"}` + tp[5:], `{}`, ``},
		{"no room", tp, `{"payload":` + sized(job.MaxPayload) + `}`, ``},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			jobs := &fakeJobs{}
			r := newRequestTo(http.MethodPost, "/v1/jobs", tt.body)
			if tt.header != "" {
				r.Header.Set("Traceparent", tt.header)
			}
			if w := do(newServer(t, jobs, Options{}), r); w.Code != http.StatusCreated {
				t.Fatalf("answer = %d %s, want 201", w.Code, w.Body)
			}
			if got := string(jobs.specs[0].Headers); got != tt.want {
				t.Errorf("headers = %s, want %s", got, tt.want)
			}
		})
	}
}
