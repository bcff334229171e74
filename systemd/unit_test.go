package systemd

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// maxExposure is the bound for `systemd-analyze security` in tenths: a serial
// port, the pcscd socket and the network must stay open, nothing else need be.
const maxExposure = "17"

// analyze returns the path of systemd-analyze; without it the test is skipped, under CI failed.
func analyze(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("systemd-analyze")
	if err == nil {
		return path
	}
	if os.Getenv("CI") == "true" {
		t.Fatalf("systemd-analyze is missing: %v", err)
	}
	t.Skipf("systemd-analyze is missing: %v", err)
	return ""
}

// unit reads the unit and puts an executable that exists in the daemon's place,
// because verify insists on one and the daemon is not installed where tests run.
func unit(t *testing.T) string {
	t.Helper()
	body, err := os.ReadFile("tapkeeper.service")
	if err != nil {
		t.Fatal(err)
	}
	const program = "ExecStart=/usr/bin/tapkeeper "
	if n := strings.Count(string(body), program); n != 1 {
		t.Fatalf("%q occurs %d times in the unit, want 1", program, n)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return strings.Replace(string(body), program, "ExecStart="+self+" ", 1)
}

// write puts a unit into a folder of its own under its real name.
func write(t *testing.T, body string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tapkeeper.service")
	if err := os.WriteFile(path, []byte(body), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// verify returns what systemd has to say about our unit; remarks about other units of the machine are not ours.
func verify(t *testing.T, path string) (remarks []string, failed bool) {
	t.Helper()
	out, err := exec.Command(analyze(t), "verify", "--man=no", "--recursive-errors=no", path).CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("run systemd-analyze verify: %v", err)
	}
	for _, line := range strings.Split(string(out), "\n") {
		if strings.Contains(line, "tapkeeper") {
			remarks = append(remarks, line)
		}
	}
	return remarks, err != nil
}

func TestUnitVerifies(t *testing.T) {
	if remarks, failed := verify(t, write(t, unit(t))); failed || len(remarks) > 0 {
		t.Errorf("systemd-analyze verify: failed %v, remarks:\n%s", failed, strings.Join(remarks, "\n"))
	}
	misspelt := strings.Replace(unit(t), "PrivateTmp=", "PrivateTemp=", 1)
	if remarks, _ := verify(t, write(t, misspelt)); len(remarks) == 0 {
		t.Error("a misspelt setting went unnoticed: this test would prove nothing")
	}
}

func TestUnitExposure(t *testing.T) {
	security := func(body string) (string, error) {
		out, err := exec.Command(analyze(t), "security", "--offline=true", "--no-pager",
			"--threshold="+maxExposure, write(t, body)).CombinedOutput()
		return string(out), err
	}
	if out, err := security(unit(t)); err != nil {
		t.Errorf("exposure above %s tenths: %v\n%s", maxExposure, err, out)
	}
	open := strings.Replace(unit(t), "ProtectSystem=strict\n", "", 1)
	open = strings.Replace(open, "CapabilityBoundingSet=\n", "", 1)
	if _, err := security(open); err == nil {
		t.Error("a unit with all capabilities passed: this test would prove nothing")
	}
}

// What `systemd-analyze` cannot know: what the daemon and its callers rely on.
func TestUnitKeepsItsPromises(t *testing.T) {
	body := unit(t)
	for _, want := range []string{
		"Type=notify",
		"WatchdogSec=",
		"Restart=always",
		"RestartPreventExitStatus=2 3", // usage, configuration refused
		"StartLimitIntervalSec=0",      // never locked out
		"User=tapkeeper",
		"StateDirectory=tapkeeper",
		"StateDirectoryMode=0700",
		"RuntimeDirectory=tapkeeper",
		"SupplementaryGroups=dialout",
		"LimitCORE=0", // I7: no key in a core file
		"LimitMEMLOCK=16M",
		"MemorySwapMax=0", // nor in swap
	} {
		if !regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(want)).MatchString(body) {
			t.Errorf("the unit lacks %q", want)
		}
	}
	users, err := os.ReadFile("sysusers.d/tapkeeper.conf")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(users), "\nu tapkeeper ") {
		t.Error("sysusers.d does not make the user that the unit names")
	}
	if !strings.Contains(string(users), "\ng tapkeeper-manager ") {
		t.Error("sysusers.d does not make the group that may export evidence")
	}
}
