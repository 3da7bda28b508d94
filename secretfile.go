package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// warnIfReadable warns if everybody on the machine can read a file with a secret.
func (r *settingReader) warnIfReadable(name, path string) {
	real, err := filepath.EvalSymlinks(path)
	if err == nil {
		real, err = filepath.Abs(real)
	}
	if err != nil || !hasMode(real, 0o004) || !hasMode(filepath.Dir(real), 0o001) {
		return
	}
	if credentials, _ := r.lookup("CREDENTIALS_DIRECTORY"); isSecretMount(real, credentials) {
		return
	}
	r.warn(name, "everybody on this machine can read %s; want mode 0600, or a directory that is closed to others", path)
}

// hasMode reports whether a file or directory has one of the bits in its mode.
func hasMode(path string, bits os.FileMode) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().Perm()&bits != 0
}

// secretMounts are directories in which systems put the secrets of one service. The files in
// them have mode 0444, but other services cannot reach them.
var secretMounts = []string{
	"/run/secrets", "/var/run/secrets", // Docker, Podman, Kubernetes
	"/run/credentials",                                            // systemd
	"/run/secrets.d", "/run/agenix", "/run/agenix.d", "/run/keys", // NixOS
	"/vault/secrets", "/mnt/secrets-store", // Vault's agent, the CSI driver
}

// isSecretMount reports whether a file is in one of the secretMounts or in the directory that
// systemd names. path must have no symlinks. Kubernetes mounts secrets anywhere: as files in a
// directory such as ..2026_11_25_12_00_00.123456789, with symlinks to them.
func isSecretMount(path, credentials string) bool {
	mounts := secretMounts
	if real, err := filepath.EvalSymlinks(credentials); err == nil && filepath.IsAbs(credentials) {
		mounts = append(slices.Clone(mounts), real)
	}
	for _, mount := range mounts {
		if strings.HasPrefix(path, strings.TrimSuffix(mount, "/")+"/") {
			return true
		}
	}
	return strings.Contains(filepath.Dir(path), "/..")
}
