// Package manifests checks compose.yaml and kubernetes.yaml of deploy/, and the example of Envoy, with
// the code of Compose, Kubernetes and Envoy. It is a module of its own, because that code is large.
package manifests

import (
	"bytes"
	"context"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
	"sigs.k8s.io/yaml"
)

func loadCompose(t *testing.T) *types.Project {
	t.Helper()
	options, err := cli.NewProjectOptions([]string{"../../deploy/compose.yaml"})
	if err != nil {
		t.Fatal(err)
	}
	project, err := options.LoadProject(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return project
}

// TestCompose: Compose reads the file, and Latchkey starts after PostgreSQL, with nothing more
// than it needs.
func TestCompose(t *testing.T) {
	project := loadCompose(t)
	latchkey, err := project.GetService("latchkey")
	if err != nil {
		t.Fatal(err)
	}
	if got := latchkey.DependsOn["postgres"].Condition; got != types.ServiceConditionHealthy {
		t.Errorf("starts when PostgreSQL is %s; want %s", got, types.ServiceConditionHealthy)
	}
	if got := latchkey.HealthCheck.Test; !slices.Equal(got, []string{"CMD", "/latchkey", "ready"}) {
		t.Errorf("the health check is %q", got)
	}
	if !latchkey.ReadOnly || !slices.Equal(latchkey.CapDrop, []string{"ALL"}) {
		t.Error("the root is writable, or capabilities are left")
	}
	if got := time.Duration(*latchkey.StopGracePeriod); got <= 30*time.Second {
		t.Errorf("a stop may take %v; want more than SHUTDOWN_SECONDS", got)
	}
	if got := project.Services["postgres"].HealthCheck.Test; !slices.Contains(got, "127.0.0.1") {
		t.Errorf("PostgreSQL is asked by %q; want TCP", got)
	}
}

// TestComposeSecrets: every secret is a file, and every service gets those that it reads.
func TestComposeSecrets(t *testing.T) {
	project := loadCompose(t)
	for name, service := range project.Services {
		for variable, value := range service.Environment {
			path, ok := strings.CutPrefix(*value, "/run/secrets/")
			if ok != strings.HasSuffix(variable, "_FILE") {
				t.Errorf("%s: %s=%s; want files of secrets, and nothing else, in variables ending in _FILE", name, variable, *value)
			}
			given := slices.ContainsFunc(service.Secrets, func(s types.ServiceSecretConfig) bool { return s.Source == path })
			if ok && (!given || project.Secrets[path].File == "") {
				t.Errorf("%s: there is no secret %s from a file", name, path)
			}
		}
	}
}

// objects are those of kubernetes.yaml.
type objects struct {
	deployment appsv1.Deployment
	service    corev1.Service
	budget     policyv1.PodDisruptionBudget
}

// readObjects reads the file as kubectl does with --validate=strict.
func readObjects(t *testing.T) *objects {
	t.Helper()
	text, err := os.ReadFile("../../deploy/kubernetes.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var all objects
	targets := map[string]any{
		"apps/v1 Deployment":            &all.deployment,
		"v1 Service":                    &all.service,
		"policy/v1 PodDisruptionBudget": &all.budget,
	}
	for document := range bytes.SplitSeq(text, []byte("\n---\n")) {
		var kind metav1.TypeMeta
		if err := yaml.Unmarshal(document, &kind); err != nil {
			t.Fatal(err)
		}
		name := kind.APIVersion + " " + kind.Kind
		target := targets[name]
		if target == nil {
			t.Fatalf("%s is there twice, or is not known here", name)
		}
		delete(targets, name)
		if err := yaml.UnmarshalStrict(document, target); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if len(targets) != 0 {
		t.Fatalf("missing: %v", targets)
	}
	return &all
}

// TestPodSecurity: the pods keep to the restricted standard of Kubernetes, of every version.
func TestPodSecurity(t *testing.T) {
	pod := readObjects(t).deployment.Spec.Template
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		t.Fatal(err)
	}
	restricted := api.LevelVersion{Level: api.LevelRestricted, Version: api.LatestVersion()}
	for _, result := range evaluator.EvaluatePod(restricted, &pod.ObjectMeta, &pod.Spec) {
		if !result.Allowed {
			t.Errorf("%s: %s", result.ForbiddenReason, result.ForbiddenDetail)
		}
	}
	if *pod.Spec.AutomountServiceAccountToken || !*pod.Spec.Containers[0].SecurityContext.ReadOnlyRootFilesystem {
		t.Error("the pod has a token, or a root that is writable")
	}
}

// TestSelectors: the service, the budget and the deployment mean the same pods and ports.
func TestSelectors(t *testing.T) {
	all := readObjects(t)
	pod := labels.Set(all.deployment.Spec.Template.Labels)
	for name, selector := range map[string]*metav1.LabelSelector{
		"deployment": all.deployment.Spec.Selector,
		"budget":     all.budget.Spec.Selector,
		"service":    {MatchLabels: all.service.Spec.Selector},
	} {
		s, err := metav1.LabelSelectorAsSelector(selector)
		if err != nil || s.Empty() || !s.Matches(pod) {
			t.Errorf("%s: %v, %v; want the pods, which have %v", name, s, err, pod)
		}
	}
	c := all.deployment.Spec.Template.Spec.Containers[0]
	used := []string{all.service.Spec.Ports[0].TargetPort.StrVal}
	for _, probe := range []*corev1.Probe{c.StartupProbe, c.LivenessProbe, c.ReadinessProbe} {
		used = append(used, probe.HTTPGet.Port.StrVal)
	}
	for _, port := range used {
		if port != c.Ports[0].Name {
			t.Errorf("port %q is used; the container has %q", port, c.Ports[0].Name)
		}
	}
}

// TestRollingUpdate: no pod goes before its successor is ready, and each has the time to stop.
func TestRollingUpdate(t *testing.T) {
	spec := readObjects(t).deployment.Spec
	if n := spec.Strategy.RollingUpdate.MaxUnavailable; n == nil || n.String() != "0" {
		t.Errorf("%v pods may be unavailable; want 0", n)
	}
	c := spec.Template.Spec.Containers[0]
	for probe, path := range map[*corev1.Probe]string{c.StartupProbe: "/livez", c.LivenessProbe: "/livez", c.ReadinessProbe: "/readyz"} {
		if probe.HTTPGet.Path != path {
			t.Errorf("a probe asks %s; want %s", probe.HTTPGet.Path, path)
		}
	}
	const longestStop = 30 // SHUTDOWN_SECONDS in env
	if !slices.Contains(c.Env, corev1.EnvVar{Name: "SHUTDOWN_SECONDS", Value: "30"}) {
		t.Errorf("SHUTDOWN_SECONDS is not %d", longestStop)
	}
	sleep := c.Lifecycle.PreStop.Sleep.Seconds
	if grace := *spec.Template.Spec.TerminationGracePeriodSeconds; grace <= sleep+longestStop {
		t.Errorf("a pod has %d s to stop; want more than %d + %d", grace, sleep, longestStop)
	}
	if wait := c.StartupProbe.PeriodSeconds * c.StartupProbe.FailureThreshold; wait < 60 {
		t.Errorf("a start may take %d s; it waits 30 s for the database alone", wait)
	}
}
