package main

import (
	"cmp"
	"os"
	"strings"
)

// environment reads the text of every setting from the environment, or takes its default.
func (r *settingReader) environment(environ []string) {
	for _, entry := range environ {
		if name, value, ok := strings.Cut(entry, "="); ok && name != "" {
			r.environ = append(r.environ, variable{name, value})
		}
	}
	for s := range r.settings() {
		r.values[s.name] = s.fallback
		if value, ok := r.lookup(s.name); ok {
			r.values[s.name], r.source[s.name] = value, "environment"
		}
		if path, ok := r.lookup(s.name + "_FILE"); ok && s.secret {
			r.secretFile(s.name, r.cut(s.name+"_FILE", path))
		}
	}
}

// secretFile reads a secret from a file.
func (r *settingReader) secretFile(name, path string) {
	if r.isSet(name) {
		r.bad(name, "%s_FILE is set too; want only one of them", name)
		return
	}
	text, err := os.ReadFile(path)
	if err != nil {
		r.bad(name+"_FILE", "%v; want the path of a file that holds the value", withoutPath(err)) // the path may be the secret, given by mistake
		r.unread[name] = true
		return
	}
	r.warnIfReadable(name+"_FILE", path)
	value, ok := strings.CutSuffix(string(text), "\r\n")
	if !ok {
		value = strings.TrimSuffix(value, "\n")
	}
	r.values[name], r.source[name] = value, "file"
}

// flags takes the settings that were given on the command line.
func (r *settingReader) flags(given map[string]string) {
	for name, value := range given {
		r.values[name], r.source[name] = value, "flag"
	}
}

// cutEnds cuts white space and quotes off the ends of values, where dotenv files, Compose and
// copying leave them. It does not touch secret keys and passwords, which may have been used as
// they are.
func (r *settingReader) cutEnds() {
	for s := range r.settings() {
		switch value := r.values[s.name]; {
		case s.verbatim: // checkSecret and firstAdmin warn
		case s.name == "PRIVATE_KEY": // PEM ends with a newline
			r.values[s.name] = r.cut(s.name, strings.TrimFunc(value, isBlank))
		default:
			r.values[s.name] = r.cut(s.name, value)
		}
	}
}

// cut returns a value without white space and quotes at its ends, and warns about them.
func (r *settingReader) cut(name, value string) string {
	cut := trimEnds(value)
	switch {
	case cut != value:
		r.warn(name, "white space or quotes at the ends of the value are ignored; want it without")
	case hasQuoteAtEnd(value):
		r.warn(name, "the value begins or ends with a quote; want it without")
	}
	return cut
}

// inEffect returns every setting as it was understood. Parsers have replaced each text by its
// normal form.
func (r *settingReader) inEffect() []settingInEffect {
	var all []settingInEffect
	for s := range r.settings() {
		value := r.values[s.name]
		switch {
		case s.name == "DATABASE_URL":
			value = cmp.Or(describeDatabaseURL(value), "memory")
		case s.secret && value == "":
			value = "not set"
		case s.secret, mayHoldSecret(value), s.name == "TLS_KEY_FILE" && value != "": // where a private key lies
			value = "set"
		}
		all = append(all, settingInEffect{s.name, cmp.Or(value, "-"), cmp.Or(r.source[s.name], "default")})
	}
	return all
}
