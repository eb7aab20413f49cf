package httpapi

import (
	"maps"
	"strconv"

	"carillon"
)

// fillOptions puts the schema of a platform's options in place of every
// {x-options: apns}, fcm or wns, so that the one list of them is carillon's.
func fillOptions(v any) {
	switch v := v.(type) {
	case map[string]any:
		if platform, ok := v["x-options"].(string); ok {
			delete(v, "x-options")
			rules := map[string][]carillon.Option{"apns": carillon.APNsOptions(), "fcm": carillon.FCMOptions(), "wns": carillon.WNSOptions()}
			maps.Copy(v, optionsSchema(rules[platform]))
		}
		for _, child := range v {
			fillOptions(child)
		}
	case []any:
		for _, child := range v {
			fillOptions(child)
		}
	}
}

// optionsSchema is an object with these options; null stands for "not given".
func optionsSchema(rules []carillon.Option) map[string]any {
	properties, required := map[string]any{}, []string{}
	for i := range rules {
		s := optionSchema(&rules[i])
		if rules[i].Required {
			required = append(required, rules[i].Name)
		} else {
			s = map[string]any{"anyOf": []any{s, map[string]any{"type": "null"}}}
		}
		properties[rules[i].Name] = s
	}
	s := map[string]any{"type": "object", "properties": properties, "additionalProperties": false}
	if len(required) > 0 {
		s["required"] = required
	}
	return s
}

func optionSchema(o *carillon.Option) map[string]any {
	text := func(pattern string) map[string]any { return map[string]any{"type": "string", "pattern": pattern} }
	const seconds = `^[0-9]{1,9}(\.[0-9]{1,9})?s$`
	switch o.Form {
	case carillon.OptionFlag:
		return map[string]any{"type": "boolean"}
	case carillon.OptionInteger, carillon.OptionNumber:
		return numberSchema(o)
	case carillon.OptionTexts:
		return map[string]any{"type": "array", "items": map[string]any{"type": "string"}}
	case carillon.OptionDurations:
		return map[string]any{"type": "array", "items": text(seconds)}
	case carillon.OptionDuration:
		return text(seconds)
	case carillon.OptionURI:
		return text(`^[A-Za-z][A-Za-z0-9+.-]*:`)
	case carillon.OptionColor:
		return text(`^#[0-9A-Fa-f]{6}$`)
	case carillon.OptionTime:
		return map[string]any{"type": "string", "format": "date-time"}
	case carillon.OptionLabel:
		return text(`^[A-Za-z0-9_.~%-]{1,50}$`)
	case carillon.OptionToken:
		return text(`^[A-Za-z0-9_.-]{1,` + strconv.Itoa(int(o.Max)) + `}$`)
	case carillon.OptionObject:
		if o.Members == nil {
			return map[string]any{"type": "object", "additionalProperties": true}
		}
		return optionsSchema(o.Members)
	case carillon.OptionObjects:
		return map[string]any{"type": "array", "minItems": 1, "maxItems": int(o.Max), "items": optionsSchema(o.Members)}
	case carillon.OptionText:
	}
	return textSchema(o)
}

func numberSchema(o *carillon.Option) map[string]any {
	kind := "number"
	if o.Form == carillon.OptionInteger {
		kind = "integer"
	}
	s := map[string]any{"type": kind, "minimum": o.Min, "maximum": o.Max}
	var values []int
	for _, v := range o.OneOf {
		if n, err := strconv.Atoi(v); err == nil {
			values = append(values, n)
		}
	}
	if values != nil {
		s["enum"] = values
	}
	return s
}

func textSchema(o *carillon.Option) map[string]any {
	s := map[string]any{"type": "string"}
	if o.OneOf != nil {
		s["enum"] = o.OneOf
	}
	if o.Max > 0 {
		s["maxLength"] = int(o.Max)
	}
	if o.Members != nil {
		return map[string]any{"anyOf": []any{s, optionsSchema(o.Members)}}
	}
	return s
}
