package main

import (
	"fmt"
	"time"

	"github.com/schollz/progressbar/v3"
)

// A progress shows on standard error how far a file has been read: as a bar on a terminal, and
// otherwise as a line every ten seconds.
type progress struct {
	in    *invocation
	what  string
	file  *importFile
	began time.Time
	next  time.Time
	bar   *progressbar.ProgressBar // nil: lines
}

const progressInterval = 10 * time.Second

func (in *invocation) newProgress(what string, file *importFile) *progress {
	now := time.Now()
	p := &progress{in: in, what: what, file: file, began: now, next: now.Add(progressInterval)}
	if isTerminal(in.stderr) {
		p.bar = progressbar.NewOptions64(1, progressbar.OptionSetWriter(in.stderr), progressbar.OptionSetDescription(what),
			progressbar.OptionShowCount(), progressbar.OptionShowIts(), progressbar.OptionSetItsString("users"),
			progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionClearOnFinish(), progressbar.OptionSetPredictTime(true))
	}
	return p
}

// show is told how many users and bytes have been read. How many users there are is estimated.
func (p *progress) show(users int, read int64) {
	if p.bar != nil {
		p.bar.ChangeMax64(max(int64(float64(users)*float64(p.file.size)/float64(max(read, 1))), int64(users)))
		p.bar.Set(users)
		return
	}
	now := time.Now()
	if now.Before(p.next) {
		return
	}
	p.next = now.Add(progressInterval)
	fmt.Fprintf(p.in.stderr, "%s: %s users, %d %%, %s users/s\n", p.what, thousands(users),
		100*read/max(p.file.size, 1), thousands(int(float64(users)/now.Sub(p.began).Seconds())))
}

// end removes the bar.
func (p *progress) end() {
	if p.bar != nil {
		p.bar.Clear()
	}
}
