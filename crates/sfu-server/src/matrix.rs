//! All IO that has to do with Matrix: requests to homeservers, and what they answer. The rules are `focus_matrix`'s.

pub(crate) mod fetch;
pub(crate) mod openid;
pub(crate) mod wills;
