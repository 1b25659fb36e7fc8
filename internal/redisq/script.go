package redisq

import (
	"crypto/sha1"
	"embed"
	"encoding/hex"
	"fmt"
	"strings"
)

//go:embed lua/*.lua
var luaFiles embed.FS

// script is one verb: its whole source, and the name Redis knows it by.
type script struct {
	verb   string
	source string
	sha    string
	once   bool  // must not be sent again by go-redis when its reply is lost
	err    error // why the source could not be read
}

// scripts holds every verb of lua/, ready to be sent.
type scripts struct {
	push, open, expired, missing, drop, cancel, census, depths script // the relay's
	take, release, beat, announce, ack                         script // the workers'
	absent, waiting, entomb, noted                             script // the audit's
	spool, peek, unspool                                       script // the spool's
	permit, attend                                             script // the push workers'
}

// loadScripts reads lua/.
func loadScripts() *scripts {
	return &scripts{
		push: load("push"), open: load("open"), census: load("census"), depths: load("depths"),
		expired: load("expired"), missing: load("missing"), drop: load("drop"), cancel: load("cancel"),
		take: load("take"), beat: load("beat"), announce: load("announce"), ack: load("ack"),
		release: loadOnce("release"),
		absent:  load("absent"), waiting: load("waiting"), entomb: load("entomb"), noted: load("noted"),
		spool: load("spool"), peek: load("peek"), unspool: load("unspool"),
		permit: load("permit"), attend: load("attend"),
	}
}

func load(verb string) script {
	source, err := assemble(verb)
	sum := sha1.Sum([]byte(source)) // the name EVALSHA asks for; nothing rests on its strength
	return script{verb: verb, source: source, sha: hex.EncodeToString(sum[:]), err: err}
}

func loadOnce(verb string) script {
	s := load(verb)
	s.once = true
	return s
}

// assemble returns lua/<verb>.lua with each line "--#include name" replaced by
// lua/<name>.lua: what several scripts do is written once, and every script stays
// one EVALSHA. An error is a mistake in this package, which a test would find.
func assemble(verb string) (string, error) {
	source, err := luaFiles.ReadFile("lua/" + verb + ".lua")
	if err != nil {
		return "", fmt.Errorf("script %s: %w", verb, err)
	}
	var b strings.Builder
	for line := range strings.Lines(string(source)) {
		name, ok := strings.CutPrefix(strings.TrimSpace(line), "--#include ")
		if !ok {
			b.WriteString(line)
			continue
		}
		part, err := luaFiles.ReadFile("lua/" + name + ".lua")
		if err != nil {
			return "", fmt.Errorf("script %s: %w", verb, err)
		}
		b.Write(part)
	}
	return b.String(), nil
}
