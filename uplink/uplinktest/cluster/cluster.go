// Package cluster is a NATS cluster of three servers with JetStream and an MQTT
// gateway, as docs/brokers/nats.conf has it, each a process that a test can kill
// and freeze. The server comes from the Go module: nothing need be installed.
//
// The processes are the test binary itself, so that a package that uses a cluster
// begins its tests with
//
//	func TestMain(m *testing.M) { os.Exit(cluster.Main(m)) }
package cluster

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"tapkeeper/uplink/uplinktest"
)

// Size is the number of servers: one may die, the two others go on.
const Size = 3

// childVar names the configuration that a child process is to serve.
const childVar = "TAPKEEPER_TEST_NATS"

// Main runs the tests, or serves when the process is a server of a cluster.
func Main(m interface{ Run() int }) int {
	if config := os.Getenv(childVar); config != "" {
		if err := serve(config); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return 0
	}
	return m.Run()
}

// serve runs until its standard input ends: the test is gone then.
func serve(config string) error {
	o, err := server.ProcessConfigFile(config)
	if err != nil {
		return err
	}
	o.NoSigs = true
	s, err := server.NewServer(o)
	if err != nil {
		return err
	}
	s.ConfigureLogger()
	s.Start()
	_, _ = io.Copy(io.Discard, os.Stdin) // any end is the end
	s.Shutdown()
	return nil
}

// Cluster is the three servers.
type Cluster struct{ Nodes [Size]*Node }

// Node is one server.
type Node struct {
	uplinktest.Child
	t                   uplinktest.TB
	nats, mqtt, monitor string
}

// Start starts a cluster and waits until it serves. Terminals, of the form
// merchant/terminal, get an entry each as in docs/brokers/nats-users.conf.
func Start(t uplinktest.TB, a *uplinktest.Authority, terminals ...string) *Cluster {
	t.Helper()
	dir := t.TempDir()
	write := func(name string, content []byte) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, content, 0o600); err != nil {
			t.Fatalf("nats: %v", err)
		}
		return file
	}
	config := write("nats.conf", uplinktest.BrokerFile(t, "nats.conf"))
	write("nats-users.conf", users(t, terminals))
	id := a.Issue("broker", 0)
	var routes []string
	ports := [Size]string{}
	for i := range ports {
		ports[i] = uplinktest.FreePort(t)
		routes = append(routes, fmt.Sprintf("%q", "nats://"+ports[i]))
	}
	c := &Cluster{}
	for i := range c.Nodes {
		n := &Node{t: t, nats: uplinktest.FreePort(t), mqtt: uplinktest.FreePort(t), monitor: uplinktest.FreePort(t)}
		env := append(os.Environ(), childVar+"="+config,
			fmt.Sprintf("NODE=a%d", i+1), "STORE="+filepath.Join(dir, fmt.Sprint("store-", i+1)),
			quoted("LISTEN", n.nats), quoted("MQTT_LISTEN", n.mqtt), quoted("ROUTE_LISTEN", ports[i]), quoted("HTTP_LISTEN", n.monitor),
			"ROUTES=["+strings.Join(routes, ",")+"]",
			"CERT="+id.CertFile, "KEY="+id.KeyFile, "CA="+a.CAFile)
		n.Command = func() *exec.Cmd {
			cmd := exec.Command("/proc/self/exe")
			cmd.Env = env
			return cmd
		}
		n.Ready = n.healthy
		t.Cleanup(n.Kill)
		if err := n.Child.Start(); err != nil {
			t.Fatalf("nats: %v", err)
		}
		c.Nodes[i] = n
	}
	for _, n := range c.Nodes {
		if err := n.Await(); err != nil {
			t.Fatalf("nats: %v", err)
		}
	}
	return c
}

func quoted(name, value string) string { return fmt.Sprintf("%s=%q", name, value) }

// users repeats the example's entry for each terminal.
func users(t uplinktest.TB, terminals []string) []byte {
	t.Helper()
	example := string(uplinktest.BrokerFile(t, "nats-users.conf"))
	head, rest, ok := strings.Cut(example, "  # One entry per terminal")
	end := strings.LastIndex(rest, "]")
	if !ok || end < 0 {
		t.Fatalf("nats: docs/brokers/nats-users.conf has no entry per terminal")
	}
	entry := rest[strings.Index(rest, "\n")+1 : end]
	out := head
	for _, name := range terminals {
		merchant, terminal, ok := strings.Cut(name, "/")
		if !ok {
			t.Fatalf("nats: terminal %q: want merchant/terminal", name)
		}
		out += strings.NewReplacer("noodle-bar", merchant, "till-1", terminal).Replace(entry)
	}
	return []byte(out + "]\n")
}

// healthy asks the server whether it serves, JetStream included.
func (n *Node) healthy() error {
	client := http.Client{Timeout: 2 * time.Second}
	defer client.CloseIdleConnections()
	resp, err := client.Get("http://" + n.monitor + "/healthz")
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<10))
		return fmt.Errorf("not healthy: %s", body)
	}
	return nil
}

// URL is the MQTT address for uplink.Config.
func (n *Node) URL() string { return "mqtts://" + n.mqtt }

// Addr is host and port of the MQTT gateway.
func (n *Node) Addr() string { return n.mqtt }

// ClientURL is the address for NATS clients, such as a wallet's workers.
func (n *Node) ClientURL() string { return "tls://" + n.nats }

// ClientAddr is host and port for NATS clients.
func (n *Node) ClientAddr() string { return n.nats }

// Restart starts the server again after Kill, with what it kept, and waits.
func (n *Node) Restart() {
	n.t.Helper()
	if err := n.Child.Start(); err != nil {
		n.t.Fatalf("nats: %v", err)
	}
	if err := n.Await(); err != nil {
		n.t.Fatalf("nats: %v", err)
	}
}

// ClientURLs are the addresses of all servers, separated by commas.
func (c *Cluster) ClientURLs() string {
	var all []string
	for _, n := range c.Nodes {
		all = append(all, n.ClientURL())
	}
	return strings.Join(all, ",")
}
