package main

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"regexp"
	"strings"
)

var variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// environment is what the configuration is expanded from.
type environment struct {
	lookup   func(name string) (string, bool)
	readFile func(path string) ([]byte, error)
}

// processEnvironment is that of this process.
func processEnvironment() environment {
	return environment{lookup: os.LookupEnv, readFile: os.ReadFile}
}

// expand replaces ${VAR}, ${VAR:-default} and ${file:/path} in s. A file loses
// the line ends at its end. What was put in is not expanded again, so that a
// secret may hold any character.
func (e environment) expand(s string) (string, error) {
	var out strings.Builder
	for {
		before, rest, found := strings.Cut(s, "${")
		out.WriteString(before)
		if !found {
			return out.String(), nil
		}
		body, after, closed := strings.Cut(rest, "}")
		if !closed {
			return "", errors.New("${ is never closed; write ${VAR}, ${VAR:-default} or ${file:/path}")
		}
		value, err := e.value(body)
		if err != nil {
			return "", err
		}
		out.WriteString(value)
		s = after
	}
}

func (e environment) value(body string) (string, error) {
	if strings.Contains(body, "${") {
		return "", errors.New("${ stands inside another ${...}; they do not nest")
	}
	if path, ok := strings.CutPrefix(body, "file:"); ok {
		return e.file(path)
	}
	name, fallback, hasFallback := strings.Cut(body, ":-")
	if !variableName.MatchString(name) {
		return "", errors.New("${...} holds no variable name; write ${VAR}, ${VAR:-default} or ${file:/path}")
	}
	value, set := e.lookup(name)
	switch {
	case hasFallback && value == "":
		return fallback, nil
	case !set:
		return "", fmt.Errorf("the environment variable %s is not set; export it", name)
	}
	return value, nil
}

// named is a value as an error may call it: as it stands in the file, unless
// that would look as if ${VAR} had not been replaced. What was put in is not
// told, because it may be a secret in the wrong place.
func (e environment) named(source string) string {
	body, whole := strings.CutPrefix(source, "${")
	body, closed := strings.CutSuffix(body, "}")
	switch {
	case !strings.Contains(source, "${"):
		return fmt.Sprintf("%q", quotable(source))
	case !whole || !closed || strings.Contains(body, "${"):
		return fmt.Sprintf("what %q becomes", quotable(source))
	}
	if path, ok := strings.CutPrefix(body, "file:"); ok {
		return "the content of the file " + path
	}
	name, fallback, _ := strings.Cut(body, ":-")
	switch value, set := e.lookup(name); {
	case value != "":
		return "the value of the variable " + name
	case fallback != "":
		return fmt.Sprintf("%q, because the variable %s has no value,", quotable(fallback), name)
	case set:
		return "the empty value of the variable " + name
	}
	return fmt.Sprintf("the empty text, because the variable %s has no value,", name)
}

func (e environment) file(path string) (string, error) {
	content, err := e.readFile(path)
	if err != nil {
		return "", fmt.Errorf("cannot read the file %s: %w", path, rootCause(err))
	}
	return strings.TrimRight(string(content), "\r\n"), nil
}

// rootCause drops the operation and path that the caller's sentence already names.
func rootCause(err error) error {
	var at *fs.PathError
	if errors.As(err, &at) {
		return at.Err
	}
	return err
}

// secret is text that is read anew each time it is needed, from where the file
// says, so that a rotated one is used without a restart. It prints as
// [redacted] whatever the verb.
type secret struct{ read func() (string, error) }

const redacted = "[redacted]"

func (s *secret) setSource(source string, env environment) error {
	s.read = func() (string, error) { return notEmpty(env.expand(source)) }
	_, err := s.read()
	return err
}

func (*secret) confidential()               {}
func (secret) Format(f fmt.State, _ rune)   { fmt.Fprint(f, redacted) }
func (secret) LogValue() slog.Value         { return slog.StringValue(redacted) }
func (secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// secretFile is a secret that is the content of a file.
type secretFile struct{ secret }

func (s *secretFile) setSource(source string, env environment) error {
	path, err := env.expand(source)
	if err != nil {
		return err
	}
	s.read = func() (string, error) { return notEmpty(env.file(path)) }
	_, err = s.read()
	return err
}

func notEmpty(text string, err error) (string, error) {
	if err == nil && text == "" {
		return "", errors.New("is empty; give the client secret's value")
	}
	return text, err
}
