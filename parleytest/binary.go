package parleytest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
)

// Build builds the server from the module around the working directory into dir and
// gives the binary's path. Go's build cache makes it cheap when nothing changed.
func Build(ctx context.Context, dir string) (string, error) {
	return BuildAs(ctx, filepath.Join(dir, "parley"), nil)
}

// BuildAs builds the server to a path, as if the files of changed, by their paths in the
// module, had that content. The module's own files stay as they are.
func BuildAs(ctx context.Context, path string, changed map[string][]byte) (string, error) {
	root, err := ModuleRoot()
	if err != nil {
		return "", err
	}
	args := []string{"build", "-tags", "disable_grpc_modules", "-o", path}
	if len(changed) > 0 {
		overlay, err := writeOverlay(root, path+".overlay", changed)
		if err != nil {
			return "", fmt.Errorf("write the changed files: %w", err)
		}
		args = append(args, "-overlay", overlay)
	}
	cmd := exec.CommandContext(ctx, "go", append(args, ".")...)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0") // as a release is built
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the server: %w\n%s", err, out)
	}
	return path, nil
}

// writeOverlay writes changed files below dir and what `go build -overlay` wants to know
// of them; it gives the path of the latter.
func writeOverlay(root, dir string, changed map[string][]byte) (string, error) {
	replace := map[string]string{}
	for name, content := range changed {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return "", err
		}
		if err := os.WriteFile(path, content, 0o644); err != nil {
			return "", err
		}
		replace[filepath.Join(root, name)] = path
	}
	b, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "overlay.json")
	return path, os.WriteFile(path, b, 0o644)
}

// ModuleRoot is the folder of go.mod at or above the working directory.
func ModuleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("find the module: %w", err)
	}
	for {
		_, err := os.Stat(filepath.Join(dir, "go.mod"))
		if err == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if !errors.Is(err, fs.ErrNotExist) || parent == dir {
			return "", fmt.Errorf("find the module: %w", err)
		}
		dir = parent
	}
}
