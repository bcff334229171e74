//go:build !race

package lane_test

const racing = false
