{{- define "trunkline.selector" -}}
app.kubernetes.io/name: trunkline
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "trunkline.metadata" -}}
name: {{ .Release.Name }}
labels:
  {{- include "trunkline.selector" . | nindent 2 }}
{{- end }}

{{- /* Helm reads numbers as floats: 1000000 would be 1e+06. */ -}}
{{- define "trunkline.text" -}}
{{ kindIs "float64" . | ternary (toString (int64 .)) (toString .) }}
{{- end }}
