{{- define "sutro-mcp.name" -}}
{{- $name := ternary .Release.Name (printf "%s-%s" .Release.Name .Chart.Name) (contains .Chart.Name .Release.Name) }}
{{- $name | trunc 57 | trimSuffix "-" }}
{{- end }}

{{- define "sutro-mcp.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "sutro-mcp.metadata" -}}
namespace: {{ .Release.Namespace }}
labels:
  {{- include "sutro-mcp.selector" . | nindent 2 }}
  app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
  app.kubernetes.io/managed-by: {{ .Release.Service }}
  helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "sutro-mcp.host" -}}
{{- regexReplaceAll ":[0-9]+$" (urlParse .Values.settings.PUBLIC_URL).host "" }}
{{- end }}

{{- define "sutro-mcp.replicas" -}}
{{- if .Values.autoscaling.enabled }}{{ .Values.autoscaling.maxReplicas }}{{ else }}{{ .Values.replicas }}{{ end }}
{{- end }}

{{- /* What the schema cannot say: settings and secrets that need each other. */}}
{{- define "sutro-mcp.validate" -}}
{{- $auth := .Values.settings.AUTH }}
{{- if and (eq $auth "bearer") (not .Values.secrets.tokens.name) }}
{{- fail "settings.AUTH bearer needs secrets.tokens.name" }}
{{- end }}
{{- if and (eq $auth "oauth") (not .Values.settings.OIDC_ISSUER) }}
{{- fail "settings.AUTH oauth needs settings.OIDC_ISSUER" }}
{{- end }}
{{- if and (eq (toString .Values.settings.SHARED_KEY) "true") (not .Values.secrets.sutroKey.name) }}
{{- fail "settings.SHARED_KEY needs secrets.sutroKey.name" }}
{{- end }}
{{- if not .Values.secrets.stateKeys.name }}
{{- fail "replicas need secrets.stateKeys.name" }}
{{- end }}
{{- if and .Values.httpRoute.enabled (not .Values.httpRoute.parentRefs) }}
{{- fail "httpRoute needs httpRoute.parentRefs" }}
{{- end }}
{{- end }}
