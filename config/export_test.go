package config

import (
	"io"
	"reflect"
)

// Fill reads the sources into any struct with yaml tags.
func Fill(into any, o Options, file []byte) (map[string]Origin, Problems) {
	v := reflect.ValueOf(into).Elem()
	in, _, err := o.load(v)
	if err != nil {
		panic(err)
	}
	if file != nil {
		again := newIntake()
		(&fileReader{name: "test.yaml", in: again}).read(file, v)
		again.env(o.Environ, v)
		for _, s := range o.Set {
			again.assign(s, v)
		}
		return again.origins, again.problems
	}
	return in.origins, in.problems
}

// Show prints any struct with yaml tags.
func Show(w io.Writer, v any, origins map[string]Origin) error {
	p := &printer{origins: origins}
	p.section(reflect.ValueOf(v).Elem(), "", 0)
	if p.err != nil {
		return p.err
	}
	_, err := io.WriteString(w, p.out.String())
	return err
}

// EnvNames lists the variable of every key of c.
func EnvNames(c *Config) map[string][]string {
	names := map[string][]string{}
	walk(reflect.ValueOf(c).Elem(), "", func(path string, _ reflect.Value) {
		names[envName(path)] = append(names[envName(path)], path)
	})
	return names
}
