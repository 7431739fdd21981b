//! The namespaces of a server, and its sockets by number.

use std::sync::{Arc, atomic::Ordering};

use crate::{key::SocketKey, namespace::Namespace, socket::Socket, socket_io::SocketIo};

impl SocketIo {
    pub(crate) fn find_namespace(&self, name: &str) -> Option<Arc<Namespace>> {
        self.namespaces.read().get(name).cloned()
    }

    /// A namespace that exists, for a client that wants to connect to it. It stays until the client is accepted or refused.
    pub(crate) fn find_for_client(&self, name: &str) -> Option<Arc<Namespace>> {
        let namespaces = self.namespaces.read();
        let namespace = namespaces.get(name)?;
        // Under the lock, so that it is not removed before it knows of the client.
        namespace.expect();
        Some(namespace.clone())
    }

    /// The same of a namespace that is made if it does not exist. Its adapter is the host's own: not for I/O threads.
    pub(crate) fn make_for_client(self: &Arc<Self>, name: &str) -> Option<Arc<Namespace>> {
        loop {
            self.namespace(name, true);
            // Its last client may have left it meanwhile.
            let found = self.find_for_client(name);
            if found.is_some() || self.is_closed.load(Ordering::Acquire) {
                return found;
            }
        }
    }

    pub(crate) fn namespace(self: &Arc<Self>, name: &str, is_dynamic: bool) -> Arc<Namespace> {
        if let Some(namespace) = self.namespaces.read().get(name) {
            // Under the lock, so that it is not removed before it knows that it is wanted.
            namespace.ask_for(is_dynamic);
            return namespace.clone();
        }
        // Its adapter is the host's own, so this is done under no lock, and before anybody can find the namespace.
        let made = Arc::new(Namespace::new(Arc::from(name), self.clone(), is_dynamic));
        made.adapter.start(&made);
        let mut namespaces = self.namespaces.write();
        if self.is_closed.load(Ordering::Acquire) {
            drop(namespaces);
            // Nobody will connect to it, and it would keep the server: the namespaces have been let go of.
            made.adapter.close();
            return made;
        }
        let found = namespaces.entry(made.name().clone()).or_insert_with(|| made.clone()).clone();
        found.ask_for(is_dynamic);
        drop(namespaces);
        if !Arc::ptr_eq(&found, &made) {
            // Another thread was quicker.
            made.adapter.close();
        }
        found
    }

    /// Removes a namespace that has no clients and that the host has not asked for by name, or no longer wants.
    pub(crate) fn remove_unwanted_namespace(&self, namespace: &Arc<Namespace>) -> bool {
        let mut namespaces = self.namespaces.write();
        let is_current =
            namespaces.get(namespace.name()).is_some_and(|current| Arc::ptr_eq(current, namespace));
        let is_removed = is_current
            && namespace.is_unwanted()
            && namespace.is_empty()
            && namespaces.remove(namespace.name()).is_some();
        drop(namespaces);
        if is_removed {
            namespace.adapter.close();
        }
        is_removed
    }

    pub(crate) fn socket(&self, key: SocketKey) -> Option<Arc<Socket>> {
        self.sockets.read().get(&key).cloned()
    }

    pub(crate) fn register(&self, socket: &Arc<Socket>) {
        self.sockets.write().insert(socket.key(), socket.clone());
    }

    pub(crate) fn unregister(&self, key: SocketKey) {
        let removed = self.sockets.write().remove(&key);
        drop(removed);
    }
}
