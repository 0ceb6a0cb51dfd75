{{/* The image, by digest where there is one. */}}
{{- define "cairn.image" -}}
{{- with .Values.image -}}
{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag }}{{ end }}
{{- end -}}
{{- end -}}

{{/* What each container has of the image. */}}
{{- define "cairn.container" -}}
image: {{ include "cairn.image" . | quote }}
{{- with .Values.image.pullPolicy }}
imagePullPolicy: {{ . }}
{{- end }}
{{- end -}}

{{/* Address and port as daemons read them. */}}
{{- define "cairn.listen" -}}
{{ if contains ":" .address }}[{{ .address }}]{{ else }}{{ .address }}{{ end }}:{{ .port }}
{{- end -}}

{{/* Where kubelet asks a daemon that listens on an address: all addresses include that of the loopback. */}}
{{- define "cairn.probe" -}}
host: {{ get (dict "0.0.0.0" "127.0.0.1" "::" "::1") .address | default .address | quote }}
port: {{ .port }}
{{- end -}}

{{/* The variables of a daemon's log, by what their names begin with. */}}
{{- define "cairn.log" -}}
{{- with .log.format }}
- {name: {{ $.prefix }}_LOG_FORMAT, value: {{ . }}}
{{- end }}
{{- with .log.level }}
- {name: {{ $.prefix }}_LOG, value: {{ . }}}
{{- end }}
{{- end -}}

{{/* The variables that lead to the API server where no Service does. */}}
{{- define "cairn.apiServer" -}}
{{- with .Values.apiServer }}
{{- if .host }}
- {name: KUBERNETES_SERVICE_HOST, value: {{ .host | quote }}}
- {name: KUBERNETES_SERVICE_PORT, value: {{ .port | toString | quote }}}
{{- end }}
{{- end }}
{{- end -}}

{{/* The list of plugins. */}}
{{- define "cairn.cniList" -}}
{{- $text := .Files.Get "files/10-cairn.conflist" -}}
{{- with .Values.cni.chainedPlugins -}}
{{- $list := fromJson $text -}}
{{- set $list "plugins" (concat $list.plugins .) | toPrettyJson -}}
{{- else -}}
{{- $text -}}
{{- end -}}
{{- end -}}

{{/*
The name of its ConfigMap, which changes with the list, so that nodes get it by a rolling update. It ends as kustomize's does (which takes no name
into the sum): whoever moves from kustomize keeps the pods that run.
*/}}
{{- define "cairn.cniListName" -}}
{{- $data := dict "10-cairn.conflist" (include "cairn.cniList" .) -}}
{{- $sum := dict "kind" "ConfigMap" "name" "" "data" $data | toJson | sha256sum | trunc 10 -}}
cairn-cni-{{ $sum | replace "0" "g" | replace "1" "h" | replace "3" "k" | replace "a" "m" | replace "e" "t" }}
{{- end -}}
