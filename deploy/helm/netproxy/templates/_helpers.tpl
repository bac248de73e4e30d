{{- define "netproxy.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "netproxy.fullname" -}}
{{- $name := include "netproxy.name" . -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" }}
{{- else if contains $name .Release.Name }}
{{- .Release.Name | trunc 63 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 63 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "netproxy.selectorLabels" -}}
app.kubernetes.io/name: {{ include "netproxy.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "netproxy.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "netproxy.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/component: proxy
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "netproxy.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "netproxy.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "netproxy.image" -}}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) }}
{{- end }}

{{/* "true" if the agent starts the process that ends sockets: UDP's unless told, TCP's if told. */}}
{{- define "netproxy.endsSockets" -}}
{{- $own := .Values.netproxyConfig -}}
{{- if or (dig "terminateUdp" true $own) (dig "terminateTcp" false $own) }}true{{ end }}
{{- end }}

{{/* The two documents of the agent's file. */}}
{{- define "netproxy.config" -}}
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
{{- $config := omit .Values.config "apiVersion" "kind" "clientConnection" "hostnameOverride" }}
{{- if and .Values.metrics.serviceMonitor.enabled (not $config.metricsBindAddress) }}
{{- $_ := set $config "metricsBindAddress" "0.0.0.0:10249" }}
{{- end }}
{{- with $config }}
{{ toYaml . }}
{{- end }}
---
apiVersion: netproxy.dev/v1alpha1
kind: NetproxyConfiguration
{{- with .Values.netproxyConfig }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* The port of config.healthzBindAddress; the values' schema sees to its shape. */}}
{{- define "netproxy.healthPort" -}}
{{- $address := .Values.config.healthzBindAddress | default "0.0.0.0:10256" -}}
{{- regexFind "[0-9]+$" $address }}
{{- end }}

{{/* The port of config.metricsBindAddress, which may be an address alone. */}}
{{- define "netproxy.metricsPort" -}}
{{- $address := default "" .Values.config.metricsBindAddress -}}
{{- regexFind "[0-9]+$" (regexFind "^([0-9.]+|\\[.*\\]):[0-9]+$" $address) | default "10249" }}
{{- end }}

{{/* What both containers have in common beside capabilities. */}}
{{- define "netproxy.security" -}}
privileged: false
# No program that is started gets more than its parent has.
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
# Root owns the BPF file system; what root may do is left to it below.
runAsUser: 0
runAsGroup: 0
runAsNonRoot: false
{{- with .Values.seccompProfile }}
seccompProfile:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- if and .Values.appArmorProfile (semverCompare ">=1.30-0" .Capabilities.KubeVersion.Version) }}
appArmorProfile:
  {{- toYaml .Values.appArmorProfile | nindent 2 }}
{{- end }}
{{- with .Values.seLinuxOptions }}
seLinuxOptions:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
