// Package acceptance holds the tests that start real processes: `carillon` as it
// is shipped, killed as machines are, a real Apache Kafka, Microsoft's own
// client, Pushy's APNs server. They know nothing of the code but what is written
// for its users: commands, URLs, headers.
//
// In comes the binary that CARILLON_BIN names (else it is built); what is fetched
// is kept below CARILLON_BUILD (else build/). Every process is stopped by the
// test that started it; data and logs of a failed test stay, and the test says
// where. `make acceptance` runs them: they have the build tag acceptance.
package acceptance
