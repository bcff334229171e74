package conform

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"text/tabwriter"
	"time"
)

// Formats are the names that Write knows.
var Formats = []string{"text", "json", "junit"}

// Write prints a report in one of the Formats.
func (r *Report) Write(w io.Writer, format string) error {
	switch format {
	case "text":
		return r.text(w)
	case "json":
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(r)
	case "junit":
		return r.junit(w)
	}
	return fmt.Errorf("no format %q: want one of %v", format, Formats)
}

func (r *Report) text(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, c := range r.Cases {
		fmt.Fprintf(t, "%3d\t%s\t%s\n", c.Number, c.Outcome, c.Name)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, c := range r.Cases {
		if c.Outcome != Passed {
			fmt.Fprintf(w, "\n%s %d: %s\n  rule: %s\n  %s\n", c.Outcome, c.Number, c.Name, c.Rule, c.Why)
		}
	}
	verdict := "CONFORMS"
	if r.Failed > 0 {
		verdict = "DOES NOT CONFORM"
	}
	_, err := fmt.Fprintf(w, "\n%s: %d passed, %d failed, %d skipped\n", verdict, r.Passed, r.Failed, r.Skipped)
	return err
}

// junit is the form that build servers read.
type junitSuite struct {
	XMLName  xml.Name    `xml:"testsuite"`
	Name     string      `xml:"name,attr"`
	Tests    int         `xml:"tests,attr"`
	Failures int         `xml:"failures,attr"`
	Skipped  int         `xml:"skipped,attr"`
	Time     string      `xml:"time,attr"`
	Stamp    string      `xml:"timestamp,attr"`
	Cases    []junitCase `xml:"testcase"`
}

type junitCase struct {
	Class   string        `xml:"classname,attr"`
	Name    string        `xml:"name,attr"`
	Time    string        `xml:"time,attr"`
	Failure *junitMessage `xml:"failure"`
	Skipped *junitMessage `xml:"skipped"`
}

type junitMessage struct {
	Message string `xml:"message,attr"`
}

func (r *Report) junit(w io.Writer) error {
	s := junitSuite{Name: "tapkeeper wallet conform", Tests: len(r.Cases), Failures: r.Failed, Skipped: r.Skipped,
		Stamp: r.Began.UTC().Format(time.RFC3339)}
	var total time.Duration
	for _, c := range r.Cases {
		total += c.Took
		j := junitCase{Class: c.Rule, Name: fmt.Sprintf("%d %s", c.Number, c.Name), Time: seconds(c.Took)}
		switch c.Outcome {
		case Failed:
			j.Failure = &junitMessage{c.Why}
		case Skipped:
			j.Skipped = &junitMessage{c.Why}
		}
		s.Cases = append(s.Cases, j)
	}
	s.Time = seconds(total)
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	e := xml.NewEncoder(w)
	e.Indent("", "  ")
	if err := e.Encode(s); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.3f", d.Seconds()) }
