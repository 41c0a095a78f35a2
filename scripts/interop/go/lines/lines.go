// Package lines is how a member of a group tells what happens to it; see ../../python/member.py for the lines.
package lines

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
)

var mutex sync.Mutex

// Say prints a line with the time in microseconds before it. Each is one write: it has left the process when this returns.
func Say(words ...any) {
	mutex.Lock()
	defer mutex.Unlock()
	os.Stdout.WriteString(fmt.Sprintln(append([]any{time.Now().UnixMicro()}, words...)...))
}

// Partitions says that some were assigned, revoked or lost; nothing when there are none.
func Partitions(verb string, generation int32, partitions []int32) {
	if len(partitions) == 0 {
		return
	}
	sorted := slices.Sorted(slices.Values(partitions))
	Say(verb, generation, strings.ReplaceAll(strings.Trim(fmt.Sprint(sorted), "[]"), " ", ","))
}

// Records says which offsets of a partition were read, in runs without a hole.
func Records(partition int32, offsets []int64) {
	first, last := offsets[0], offsets[0]
	for _, offset := range offsets[1:] {
		if offset != last+1 {
			Say("records", partition, first, last)
			first = offset
		}
		last = offset
	}
	Say("records", partition, first, last)
}

// Trouble says what went wrong where the client goes on.
func Trouble(err error) {
	Say("trouble", strings.Join(strings.Fields(err.Error()), " "))
}

// UntilInputCloses calls stop when nobody holds the other end of standard input any more.
func UntilInputCloses(stop func()) {
	go func() {
		io.Copy(io.Discard, os.Stdin)
		stop()
	}()
}
