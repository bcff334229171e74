package till

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"time"
)

const (
	// outcomeLanguages are those of a payment's texts; both are always there.
	outcomeLanguages = "zh-CN, en"
	// problemLanguage is that of refusals, which programs read by their code.
	problemLanguage = "en"
)

// front stands before the routes: it bounds what is read of a request, and
// gives the refusals of the routing the form of all others.
type front struct{ mux *http.ServeMux }

func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Language", outcomeLanguages)
	if _, route := f.mux.Handler(r); route == "" {
		f.refuse(w, r)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		writeProblem(w, bodyProblem(err))
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	if r.URL.Path == verifyPath { // a walk through the journal takes as long as it takes
		_ = http.NewResponseController(w).SetWriteDeadline(time.Time{}) // a recorder of a test has none
	}
	f.mux.ServeHTTP(w, r)
}

// refuse answers where no route matches: 404, or 405 with Allow.
func (f *front) refuse(w http.ResponseWriter, r *http.Request) {
	probe := &statusProbe{header: http.Header{}}
	f.mux.ServeHTTP(probe, r)
	if allow := probe.header.Get("Allow"); allow != "" {
		w.Header().Set("Allow", allow)
	}
	writeProblem(w, problemOfStatus(probe.status, r.Method+" "+r.URL.Path+": "+http.StatusText(probe.status)))
}

func bodyProblem(err error) *Problem {
	var tooLarge *http.MaxBytesError
	var timeout net.Error
	switch {
	case errors.As(err, &tooLarge):
		return problemOfStatus(http.StatusRequestEntityTooLarge, "the request is longer than 64 KiB")
	case errors.As(err, &timeout) && timeout.Timeout():
		return problemOfStatus(http.StatusRequestTimeout, "the request did not arrive in time")
	}
	return problemOfStatus(http.StatusBadRequest, "the request's body cannot be read")
}

func writeProblem(w http.ResponseWriter, p *Problem) {
	w.Header().Set("Content-Type", p.ContentType(""))
	w.Header().Set("Content-Language", problemLanguage)
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p) // a caller that has gone does not read it
}

// statusProbe hears what the routing would have answered.
type statusProbe struct {
	header http.Header
	status int
}

func (p *statusProbe) Header() http.Header { return p.header }

func (p *statusProbe) Write(b []byte) (int, error) { return len(b), nil }

func (p *statusProbe) WriteHeader(status int) { p.status = status }
