//go:build acceptance

package acceptance_test

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

const (
	kafkaFetch = 5 * time.Minute // 80 MB, once
	kafkaStart = 90 * time.Second
)

// TestWalkOnKafka is the same walk with Apache Kafka as the journal.
func TestWalkOnKafka(t *testing.T) {
	broker, logs := startKafka(t)
	walk(t, "--brokers", broker)
	segments, err := filepath.Glob(filepath.Join(logs, "carillon.journal.1-*", "*.log"))
	if err != nil || len(segments) == 0 {
		t.Fatalf("the journal is not in Kafka: %v %v", segments, err)
	}
	bytes := int64(0)
	for _, s := range segments {
		if info, err := os.Stat(s); err == nil {
			bytes += info.Size()
		}
	}
	if bytes == 0 {
		t.Error("nothing was journalled in Kafka")
	}
	t.Logf("Kafka holds %d bytes of journal in %d partitions", bytes, len(segments))
}

// startKafka starts one node, broker and controller, and gives its address and
// the directory of its logs.
func startKafka(t *testing.T) (addr, logs string) {
	t.Helper()
	libs, dir := kafkaJars(t), workDir(t)
	logs = filepath.Join(dir, "logs")
	broker, controller := freeAddr(t), freeAddr(t)
	properties := filepath.Join(dir, "server.properties")
	text := fmt.Sprintf(`process.roles=broker,controller
node.id=1
controller.quorum.voters=1@%[2]s
listeners=PLAINTEXT://%[1]s,CONTROLLER://%[2]s
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
log.dirs=%[3]s
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
auto.create.topics.enable=false
`, broker, controller, logs)
	if err := os.WriteFile(properties, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	java := func(class string, args ...string) []string {
		log4j, err := filepath.Abs("kafka/log4j2.properties")
		if err != nil {
			t.Fatal(err)
		}
		return append([]string{
			"-Xmx256m", "-XX:+UseG1GC", "-XX:TieredStopAtLevel=1", "-Dlog4j2.configurationFile=" + log4j,
			"-cp", filepath.Join(libs, "*"), class,
		}, args...)
	}
	format := run(t, kafkaStart, "java", java("kafka.tools.StorageTool", "format", "-t", "Y2FyaWxsb24tdGVzdC0wMQ", "-c", properties)...)
	if format.code != 0 {
		t.Fatalf("formatting Kafka's directory: %s%s", format.stdout, format.stderr)
	}
	p := start(t, filepath.Join(dir, "kafka.log"), "java", java("kafka.Kafka", properties)...)
	t.Cleanup(p.kill) // it takes its time to stop otherwise
	until(t, kafkaStart, "Kafka says that it is started, in "+p.log, func() bool {
		select {
		case <-p.ended:
			t.Fatalf("Kafka ended: %v\n%s", p.err, p.tail())
		default:
		}
		log, _ := os.ReadFile(p.log)
		return bytes.Contains(log, []byte("Kafka Server started"))
	})
	return broker, logs
}

// kafkaJars fetches Kafka from Maven Central, once for each pom.xml.
func kafkaJars(t *testing.T) string {
	t.Helper()
	needs(t, "java", "mvn")
	libs := filepath.Join(caches, "kafka")
	pom, err := os.ReadFile("kafka/pom.xml")
	if err != nil {
		t.Fatal(err)
	}
	fetched := filepath.Join(libs, "pom.xml")
	if had, err := os.ReadFile(fetched); err == nil && bytes.Equal(had, pom) {
		return libs
	}
	if err := os.RemoveAll(libs); err != nil {
		t.Fatal(err)
	}
	r := run(t, kafkaFetch, "mvn", "-B", "-q", "-f", "kafka/pom.xml", "dependency:copy-dependencies", "-DoutputDirectory="+libs)
	if r.code != 0 {
		t.Fatalf("fetching Kafka from Maven Central: exit code %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	if err := os.WriteFile(fetched, pom, 0o644); err != nil {
		t.Fatal(err)
	}
	return libs
}

// needs ends the test when a tool is missing: a test that did not run is no
// pass.
func needs(t *testing.T, tools ...string) {
	t.Helper()
	for _, tool := range tools {
		if _, err := exec.LookPath(tool); err != nil {
			t.Fatalf("%s is missing: `make deps` installs it, or says how", tool)
		}
	}
}

// freeAddr is a loopback address that nobody listens at now.
func freeAddr(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}
